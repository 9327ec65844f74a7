//! The module's state as bytes: what `snapshot` gives and `restore` takes.
//!
//! A magic word with the version, then the table of categories and the table of products, each after its length in
//! bytes (u32, little-endian). A later version must go on reading this one, so that a swap keeps what was learnt.

use crate::table::Table;

/// Four letters, the last of which is the version.
const MAGIC: &[u8; 4] = b"ana1";

/// Count, mean and sum of squared deviations of the prices of each category.
pub type Categories = Table<3>;

/// The last price of each product.
pub type Products = Table<1>;

/// The state as bytes.
pub fn write(categories: &Categories, products: &Products) -> Vec<u8> {
    let tables = [categories.as_bytes(), products.as_bytes()];
    let mut state =
        Vec::with_capacity(MAGIC.len() + tables.iter().map(|bytes| size_of::<u32>() + bytes.len()).sum::<usize>());
    state.extend(MAGIC);
    for bytes in tables {
        state.extend((bytes.len() as u32).to_le_bytes());
        state.extend(bytes);
    }
    state
}

/// The state of these bytes.
pub fn read(state: &[u8]) -> Result<(Categories, Products), String> {
    let rest = state.strip_prefix(MAGIC).ok_or("the state is not one of this module, or of a later version of it")?;
    tables(rest).ok_or_else(|| format!("the state of {} bytes is damaged", state.len()))
}

fn tables(bytes: &[u8]) -> Option<(Categories, Products)> {
    let (categories, rest) = with_length(bytes)?;
    let (products, rest) = with_length(rest)?;
    if !rest.is_empty() {
        return None;
    }
    Some((Table::from_bytes(categories)?, Table::from_bytes(products)?))
}

fn with_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let (mut categories, mut products) = (Categories::default(), Products::default());
        categories.slot("books", [2.0, 10.0, 0.5]);
        products.slot("b-1", [9.5]);
        products.slot("b-2", [10.5]);
        write(&categories, &products)
    }

    #[test]
    fn a_state_comes_back_as_it_was() {
        let state = sample();
        let (categories, products) = read(&state).expect("its own bytes");
        assert_eq!(write(&categories, &products), state);
        let empty = write(&Categories::default(), &Products::default());
        assert!(read(&empty).is_ok());
    }

    #[test]
    fn garbage_is_refused() {
        let state = sample();
        for end in 0..state.len() {
            assert!(read(&state[..end]).is_err(), "cut at {end}");
        }
        assert!(read(&[&state[..], b"x"].concat()).is_err(), "bytes left over");
        let mut later = state.clone();
        later[3] = b'2';
        assert!(read(&later).is_err_and(|reason| reason.contains("later version")));
        for at in 0..state.len() {
            let mut flipped = state.clone();
            flipped[at] ^= 0x80;
            // Some flips only change a number; none may panic.
            let _ = read(&flipped);
        }
    }
}
