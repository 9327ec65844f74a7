//! What every log promises of steps: they are whole, or have not been.

use host::log::{Commit, Log, LogError};

use super::Open;
use super::records::{
    Reader, all_kept, batch, counts, kept, keyed, new_topic, numbered, produce, producer, row, unkeyed, values,
};

pub fn a_commit_of_nothing_is_fine(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    let mut session = producer(&*log);
    session.commit(Commit::default()).unwrap();
    session.append("t", &batch(&[])).unwrap();
    session.commit(Commit::default()).unwrap();
    session.abort().unwrap();
    assert_eq!(all_kept(&*log, "t"), []);
}

pub fn a_step_goes_to_all_its_topics(open: Open<'_>) {
    let log = open();
    ["in", "a", "b"].into_iter().for_each(|topic| new_topic(&*log, topic, 2));
    produce(&*log, "in", &numbered(0..3));
    let mut reader = Reader::of(&*log, "g", "in");
    let seen = reader.take(3);
    reader.append("a", &[keyed("k", "a1")]);
    reader.append("b", &[keyed("k", "b1")]);
    reader.append("a", &[keyed("k", "a2")]);
    reader.commit(&[]);
    assert_eq!(values(&all_kept(&*log, "a")), ["a1", "a2"]);
    assert_eq!(values(&all_kept(&*log, "b")), ["b1"]);
    assert!(log.committed("g", "in").unwrap().contains(&(seen[0].partition, seen[2].offset + 1)));
    assert_eq!(reader.rest(), [], "records of a committed step came again");
}

pub fn what_is_not_committed_is_not_seen(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    let mut reader = Reader::of(&*log, "g", "t");
    let mut session = producer(&*log);
    session.append("t", &batch(&numbered(0..2_000))).unwrap();
    assert_eq!(reader.rest(), []);
    assert_eq!(kept(&*log, "t", 0), []);
    produce(&*log, "t", &[unkeyed("of another step")]);
    assert_eq!(values(&reader.take(1)), ["of another step"]);
    session.commit(Commit::default()).unwrap();
    assert_eq!(reader.take(2_000).len(), 2_000);
}

/// Takes records in a step that goes wrong, and makes sure that the log is as before it.
fn goes_back(log: &dyn Log, go_wrong: impl FnOnce(&mut Reader)) {
    new_topic(log, "in", 1);
    new_topic(log, "out", 1);
    produce(log, "in", &numbered(0..10));
    let mut reader = Reader::of(log, "g", "in");
    let seen = reader.take(10);
    reader
        .session
        .commit(Commit { positions: &[(0, seen[4].offset)], states: &[(0, "four".into())], ..Commit::default() })
        .unwrap();
    reader.append("out", &[unkeyed("never")]);
    go_wrong(&mut reader);

    assert_eq!(all_kept(log, "out"), []);
    assert_eq!(log.committed("g", "in").unwrap(), [(0, seen[4].offset)]);
    assert_eq!(reader.take(6), seen[4..], "does not go on at the committed position");
    assert_eq!(reader.assigned[&0], (seen[4].offset, Some("four".into())));
    reader.append("out", &[unkeyed("once")]);
    reader.commit(&[]);
    assert_eq!(values(&all_kept(log, "out")), ["once"]);
}

pub fn an_abort_goes_back(open: Open<'_>) {
    goes_back(&*open(), Reader::abort);
}

pub fn a_session_that_is_dropped_leaves_nothing(open: Open<'_>) {
    let log = open();
    goes_back(&*log, |reader| *reader = Reader::of(&*log, "g", "in"));
}

/// The commit fails for its rows, whose table is not there.
pub fn a_failed_commit_is_an_abort(open: Open<'_>) {
    let log = open();
    goes_back(&*log, |reader| {
        let rows = [row(&counts("nowhere"), 1, 1)];
        let positions = reader.positions();
        reader.fail(Commit { positions: &positions, states: &[(0, "ten".into())], rows: &rows, ..Commit::default() });
    });
}

pub fn a_refused_append_adds_nothing(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    let mut session = producer(&*log);
    session.append("t", &batch(&[unkeyed("before")])).unwrap();
    let too_large = [unkeyed("fine"), unkeyed(vec![0; 17 << 20])];
    match session.append("t", &batch(&too_large)) {
        Err(LogError::TooLarge { topic, bytes, limit }) => assert!(topic == "t" && bytes > limit, "{bytes} {limit}"),
        other => panic!("{other:?}"),
    }
    session.append("t", &batch(&[unkeyed("after")])).unwrap();
    session.commit(Commit::default()).unwrap();
    assert_eq!(values(&all_kept(&*log, "t")), ["before", "after"]);
}
