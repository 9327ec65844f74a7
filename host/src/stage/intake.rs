//! The records of a batch on their way to the module: without their framing, and those of one writer schema together.

use bespoke_boundary::{About, Exchange, Plan};
use bespoke_record::Span;

use super::answered::Bad;
use super::writers::{NoSchema, Writers};
use crate::dead_letter::Kind;
use crate::schema::framing::{self, SchemaId};

/// Puts records into an exchange.
pub(crate) struct Intake<'a> {
    pub exchange: &'a mut Exchange,
    pub writers: &'a mut Writers,
    pub plan: &'a Plan,
    pub about: About<'a>,
    pub bad: &'a mut Vec<Bad>,
}

impl Intake<'_> {
    /// Puts in those records that can be handled, by their indices. Returns the tombstones, which have nothing to put in, or
    /// why a schema cannot be had at the moment.
    pub fn take(&mut self, indices: impl ExactSizeIterator<Item = usize>) -> Result<Vec<usize>, String> {
        let batch = self.about.batch;
        let (mut tombstones, mut last) = (Vec::new(), None);
        let mut alike: Vec<(usize, Span)> = Vec::with_capacity(indices.len());
        for index in indices {
            let Some(value) = batch.entries()[index].value else {
                tombstones.push(index);
                continue;
            };
            match framing::split_span(batch, index, value) {
                Ok((id, datum)) => {
                    if let Some(before) = last.replace(id).filter(|before| *before != id) {
                        self.push(before, &alike)?;
                        alike.clear();
                    }
                    alike.push((index, datum));
                }
                Err(error) => self.bad.push((index, Kind::Decode, error.to_string())),
            }
        }
        if let Some(id) = last {
            self.push(id, &alike)?;
        }
        Ok(tombstones)
    }

    fn push(&mut self, id: SchemaId, records: &[(usize, Span)]) -> Result<(), String> {
        let bad = &mut *self.bad;
        match self.writers.get(id) {
            Ok(resolution) => self.exchange.push(self.plan, &self.about, records, resolution, |index, error| {
                bad.push((index, Kind::Decode, format!("not a record of schema {id}: {error}")));
            }),
            Err(NoSchema::Unknown(why)) => {
                bad.extend(records.iter().map(|(index, _)| (*index, Kind::Schema, why.clone())))
            }
            Err(NoSchema::Unavailable(why)) => return Err(why),
        }
        Ok(())
    }
}
