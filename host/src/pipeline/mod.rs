//! A pipeline: what a configuration means once schemas, modules and tables are known, and running it.
//!
//! [`build`] brings everything together and finds every mistake that can be found without a record: schemas that do not
//! fit modules, outputs that go nowhere, tables of another shape. [`run`] starts a thread per worker and waits.

mod build;
mod crew;
mod drain;
mod open;
mod prepare;
mod run;
mod schemas;
mod starts;
mod topics;

pub use build::{BuildError, Built, BuiltFeed, BuiltStage, build};
pub use open::{Location, OpenLog, TableStores};
pub use prepare::{MissingTopic, find_topics, prepare};
pub use run::{Outcome, Until, Watched, run};
pub use schemas::{Naming, Purpose, SchemaStore, TopicSchema};
pub use starts::choose;
pub use topics::{Topics, wanted_topics};
