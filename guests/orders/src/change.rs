//! Of each field another value of its type.

use crate::bespoke::orders::types::{Address, Card, Customer, Extra, Item, Payment, Size, Status};
use crate::{About, Change, Order, natural};

/// Bytes of the fixed that a fee is in.
const FEE_BYTES: usize = 8;

/// The answer to an order, or why there is none.
pub fn of(order: Order, about: &About, step: i32) -> Result<Change, String> {
    let words = natural::words(&order)?;
    Ok(Change {
        paid: !order.paid,
        count: order.count + step,
        rank: order.rank * 3,
        weight: order.weight * 2.0,
        ratio: order.ratio * 2.0,
        total: order.total / 4.0,
        number: next(&order.number)?,
        note: reversed(order.note),
        mark: reversed(order.mark),
        status: next_status(order.status),
        channel: match order.channel.as_str() {
            "WEB" => "SHOP".to_owned(),
            "SHOP" => "WEB".to_owned(),
            _ => order.channel,
        },
        customer: swapped(order.customer),
        coupon: if order.coupon.is_none() { Some("welcome".to_owned()) } else { None },
        gift: order.gift.map(|gift| gift + "!"),
        payment: paid_otherwise(order.payment),
        extra: other_extra(order.extra),
        tags: reversed(order.tags),
        items: order.items.into_iter().map(more).collect::<Result<_, _>>()?,
        grid: order.grid.into_iter().map(with_sum).collect(),
        labels: order.labels.into_iter().map(|(label, text)| (text, label)).collect(),
        stock: order.stock.into_iter().map(|(part, stock)| (part, restocked(stock))).collect(),
        parts: order.parts.into_iter().map(|(part, item)| Ok((part, more(item)?))).collect::<Result<_, String>>()?,
        amount: natural::doubled(&order.amount)?,
        fee: natural::doubled_fixed(&order.fee, FEE_BYTES)?,
        day: natural::next_day(order.day)?,
        created: natural::next_hour(order.created)?,
        changed: natural::next_microsecond(order.changed)?,
        exact: next(&order.exact)?,
        words,
        origin: origin(about, order.weekday.as_deref()),
    })
}

/// The number after one that is written as text.
fn next(number: &str) -> Result<String, String> {
    let number: i64 = number.parse().map_err(|_| format!("`{number}` is no long"))?;
    Ok((number + 1).to_string())
}

fn reversed<T>(mut list: Vec<T>) -> Vec<T> {
    list.reverse();
    list
}

fn next_status(status: Status) -> Status {
    match status {
        Status::New => Status::Packed,
        Status::Packed => Status::InTransit,
        Status::InTransit => Status::New,
    }
}

/// Lives where they are called, and is called where they live.
fn swapped(customer: Customer) -> Customer {
    let zip = if customer.address.zip.is_none() { Some("00000".to_owned()) } else { None };
    Customer { name: customer.address.street, address: Address { street: customer.name, zip } }
}

/// The next branch, with what was in this one.
fn paid_otherwise(payment: Payment) -> Payment {
    match payment {
        Payment::String(number) => Payment::Card(Card { number, limit: 1 }),
        Payment::Card(card) => Payment::Long(card.limit.into()),
        Payment::Long(long) => Payment::String(long.to_string()),
    }
}

/// Another branch, with something of what was in this one.
fn other_extra(extra: Option<Extra>) -> Option<Extra> {
    Some(match extra {
        None => Extra::Boolean(true),
        Some(Extra::Boolean(_)) => return None,
        Some(Extra::Double(double)) => Extra::Double(-double),
        Some(Extra::Bytes(bytes)) => Extra::Array(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        Some(Extra::Status(status)) => Extra::Status(next_status(status)),
        Some(Extra::Mark(mark)) => Extra::Bytes(mark),
        Some(Extra::Array(texts)) => Extra::Map(texts.into_iter().zip(0..).collect()),
        Some(Extra::Map(entries)) => Extra::Array(entries.into_iter().map(|(key, _)| key).collect()),
    })
}

/// One more piece, of the next size and at twice the price.
fn more(item: Item) -> Result<Item, String> {
    let size = match item.size {
        None => Some(Size::Small),
        Some(Size::Small) => Some(Size::Large),
        Some(Size::Large) => None,
    };
    Ok(Item { sku: item.sku, quantity: item.quantity + 1, price: natural::doubled(&item.price)?, size })
}

fn with_sum(mut row: Vec<f64>) -> Vec<f64> {
    row.push(row.iter().fold(0.0, |sum, number| sum + number));
    row
}

/// None is no stock, no stock is none, and all other stock is owed.
fn restocked(stock: Option<i64>) -> Option<i64> {
    match stock {
        None => Some(0),
        Some(0) => None,
        Some(pieces) => Some(-pieces),
    }
}

/// Where a record is from, in one line.
fn origin(about: &About, weekday: Option<&str>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = about.key.as_deref().map_or_else(|| "-".to_owned(), hex);
    let headers: String = about.headers.iter().map(|(name, value)| format!(" {name}={}", hex(value))).collect();
    let About { topic, partition, offset, timestamp, .. } = about;
    format!("{topic}/{partition}/{offset} {timestamp} {key}{headers} {}", weekday.unwrap_or("no weekday"))
}
