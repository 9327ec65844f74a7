//! What a Kafka log keeps whatever happens to hosts: killed, paused, added, taken away. Judged by a
//! client that is not ours.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod capture;
mod clusters;
mod example;
mod feeds;
mod fenced;
mod grown;
mod hosts;
mod judge;
mod killed;
mod outages;
mod partitions;
mod paused;
mod proof;
mod rebalance;
mod returned;
mod secured;
mod stand;
mod states;
mod topics;
mod unheard;
mod untouched;
