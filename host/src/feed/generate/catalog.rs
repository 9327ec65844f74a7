//! The products that a generated feed is about: what stays the same from record to record.

use std::fmt::Write;

use crate::random::{Random, mix, to_unit};

/// What the shops call their categories; further ones get a number.
const CATEGORIES: [&str; 20] = [
    "Books",
    "Board Games",
    "Shoes",
    "Home & Garden",
    "Pet Food",
    "Kitchen",
    "Bicycles",
    "Cameras",
    "Lamps & Lights",
    "Office",
    "Outdoor",
    "Furniture",
    "Hi-Fi & Audio",
    "Watches",
    "Tea & Coffee",
    "Sports Wear",
    "Baby Care",
    "Tools",
    "Musical Instruments",
    "Toys",
];

/// What product names are made of.
const ADJECTIVES: [&str; 12] =
    ["Plain", "Light", "Solid", "Compact", "Classic", "Bright", "Quiet", "Folding", "Large", "Small", "Smart", "Fine"];
const MATERIALS: [&str; 8] = ["Oak", "Steel", "Cotton", "Glass", "Bamboo", "Leather", "Copper", "Wool"];
const NOUNS: [&str; 12] =
    ["Set", "Model", "Edition", "Kit", "Pack", "Series", "Pair", "Box", "Unit", "Bundle", "Piece", "Stand"];

/// The median of the categories' price levels, in euro, and the deviation of their logarithms.
const LEVEL: (f64, f64) = (40.0, 1.0);

/// The deviation of the logarithms of a category's prices.
const SPREAD: f64 = 0.2;

/// The share of products whose shop writes the category its own way, and of those without a rating.
const MESSY: f64 = 0.1;
const UNRATED: f64 = 0.3;

/// How prices move: bits of the period in records, and the largest change in that period, as a share of the price. A
/// slower change is a larger one, as in a random walk.
const WALK: [(u32, f64); 4] = [(6, 0.01), (10, 0.02), (14, 0.04), (18, 0.08)];

/// All products.
pub struct Catalog {
    /// Ids, names and categories, one after the other.
    text: String,
    products: Vec<Product>,
}

/// One product.
#[derive(Clone, Copy)]
pub struct Product {
    text_at: u32,
    lengths: [u8; 3],
    /// In euro; the price moves around it.
    base: f64,
    /// Stars.
    pub rating: Option<f32>,
    /// What its price moves by.
    walk: u64,
}

// === impl Catalog ===

impl Catalog {
    /// The products of a seed.
    pub fn new(seed: u64, products: u32, categories: u32) -> Self {
        let levels: Vec<f64> = (0..categories)
            .map(|category| LEVEL.0 * (Random::at(!seed, u64::from(category)).normal() * LEVEL.1).exp())
            .collect();
        let products_seed = mix(!seed);
        let mut catalog = Self { text: String::new(), products: Vec::with_capacity(products as usize) };
        for number in 0..products {
            let mut random = Random::at(products_seed, u64::from(number));
            let category = random.below(categories);
            let base = levels[category as usize] * (random.normal() * SPREAD).exp();
            let text_at = catalog.text.len() as u32;
            let lengths = catalog.write_texts(number, category, &mut random);
            let rating = (random.unit() >= UNRATED).then(|| (10 + random.below(41)) as f32 / 10.0);
            catalog.products.push(Product { text_at, lengths, base, rating, walk: random.bits() });
        }
        catalog
    }

    /// The product of a number below the count of products.
    #[inline]
    pub fn get(&self, number: u32) -> Product {
        self.products[number as usize]
    }

    /// Id, name and category. Letters, digits, spaces, `-` and `&` only, less than 64 bytes each.
    #[inline]
    pub fn texts(&self, product: Product) -> [&str; 3] {
        let mut at = product.text_at as usize;
        product.lengths.map(|length| {
            let text = &self.text[at..at + usize::from(length)];
            at += usize::from(length);
            text
        })
    }

    fn write_texts(&mut self, number: u32, category: u32, random: &mut Random) -> [u8; 3] {
        let mut end = self.text.len();
        let mut length = |text: &str| {
            let length = text.len() - end;
            end = text.len();
            length as u8
        };
        let text = &mut self.text;
        let _ = write!(text, "sku-{number:07}");
        let id = length(text);
        let mut one_of = |words: &[&'static str]| words[random.below(words.len() as u32) as usize];
        let (adjective, material, noun) = (one_of(&ADJECTIVES), one_of(&MATERIALS), one_of(&NOUNS));
        let _ = write!(text, "{adjective} {material} {noun} {}", 100 + random.below(900));
        let name = length(text);
        write_category(text, category, random);
        [id, name, length(text)]
    }
}

/// Most shops write a category the same way; all that the others write means the same.
fn write_category(text: &mut String, category: u32, random: &mut Random) {
    let known = CATEGORIES.len() as u32;
    let name = CATEGORIES[(category % known) as usize];
    let style = if random.unit() < MESSY { 1 + random.below(3) } else { 0 };
    let _ = match style {
        1 => write!(text, " {name} "),
        2 => write!(text, "{}", name.to_uppercase()),
        3 => write!(text, "{}", name.replace(' ', "  ")),
        _ => write!(text, "{}", name.to_lowercase().replace(' ', "-")),
    };
    if category >= known {
        let _ = write!(text, "{}{}", if style == 0 { "-" } else { " " }, category / known + 1);
    }
}

// === impl Product ===

impl Product {
    /// The price at a record's number, in euro and whole cents.
    ///
    /// It is a sum of steps of several periods: near at hand it goes up and down a little, far away it has drifted. That
    /// is how a random walk looks, but this one can be entered anywhere.
    #[inline]
    pub fn price(&self, number: u64) -> f64 {
        let mut change = 0.0;
        for (bits, size) in WALK {
            // Products change at different times.
            let step = number.wrapping_add(self.walk >> 32) >> bits;
            change += size * (2.0 * to_unit(mix(self.walk ^ mix(step << 6 | u64::from(bits)))) - 1.0);
        }
        cents(self.base * (1.0 + change))
    }
}

/// Rounds a price above zero to whole cents, at least one.
#[inline]
pub fn cents(price: f64) -> f64 {
    // By way of an integer, which is far cheaper than `round`.
    let cents = (price * 100.0 + 0.5) as i64;
    cents.max(1) as f64 / 100.0
}
