//! `[clusters.NAME]`: brokers by name, and those of the log, which are among them or stand in `[log]` itself.

use std::collections::BTreeMap;

use toml::Spanned;

use super::document::Place;
use super::error::Fault;
use super::validate::Check;
use super::{Cluster, names, raw};

/// Checks the section.
pub(super) fn clusters(
    raw: BTreeMap<Spanned<String>, raw::Cluster>,
    check: &mut Check<'_, '_>,
) -> BTreeMap<String, Cluster> {
    let mut clusters = BTreeMap::new();
    for (name, cluster) in raw {
        check.name(&name);
        let bootstrap = cluster.bootstrap.into_inner();
        clusters.insert(name.into_inner(), Cluster { bootstrap, properties: texts(cluster.properties) });
    }
    clusters
}

/// The brokers of a log whose kind stands at `place`.
pub(super) fn of_log(
    log: &mut raw::Log,
    place: &Place,
    clusters: &BTreeMap<String, Cluster>,
    check: &mut Check<'_, '_>,
) -> Cluster {
    let mut found = Cluster { bootstrap: String::new(), properties: BTreeMap::new() };
    match (log.bootstrap.take(), &log.cluster) {
        (Some(bootstrap), None) => found.bootstrap = bootstrap.into_inner(),
        (Some(_), Some(name)) => check.fault(&name.span(), Fault::OneOf("bootstrap", "cluster")),
        (None, None) => check.fault(place, Fault::Missing("bootstrap".to_owned())),
        (None, Some(name)) => match clusters.get(name.get_ref()) {
            Some(cluster) => found = cluster.clone(),
            None => {
                let suggestion = names::suggest(name.get_ref(), clusters.keys().map(String::as_str));
                check.fault(&name.span(), Fault::UnknownCluster { name: name.get_ref().clone(), suggestion });
            }
        },
    }
    found.properties.extend(texts(std::mem::take(&mut log.properties)));
    found
}

fn texts(properties: BTreeMap<Spanned<String>, raw::Scalar>) -> BTreeMap<String, String> {
    properties.into_iter().map(|(key, value)| (key.into_inner(), value.0)).collect()
}
