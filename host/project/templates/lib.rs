t|//! Trims `@text@`, and refuses records where nothing is left of it.
f|//! Lets every record pass; answer false for those that are to be dropped.
n|//! Counts records, with the running mean of `@number@`. The host keeps what was counted with the position in the topic.
c|//! Counts records. The host keeps the count with the position in the topic.

a|use std::cell::Cell;
a|
wit_bindgen::generate!({ path: "wit", world: "@name@" });

struct Module;
export!(Module);

a|thread_local! {
n|    static SEEN: Cell<(i64, f64)> = const { Cell::new((0, 0.0)) };
c|    static SEEN: Cell<i64> = const { Cell::new(0) };
a|}
a|
impl Guest for Module {
t|    fn process(records: Vec<@Record_rs@>) -> Vec<Result<Option<Change>, String>> {
t|        records.into_iter().map(answer).collect()
t|    }
f|    fn process(records: Vec<@Record_rs@>) -> Vec<bool> {
f|        records.iter().map(|_| true).collect()
f|    }
a|    fn analyze(records: Vec<@Record_rs@>) -> Vec<Row> {
a|        records.into_iter().map(row).collect()
a|    }
a|
a|    fn snapshot() -> String {
n|        let (count, mean) = SEEN.get();
n|        format!("{count} {mean}")
c|        SEEN.get().to_string()
a|    }
a|
a|    fn restore(state: String) -> Result<(), String> {
n|        let parts = state.split_once(' ').and_then(|(count, mean)| Some((count.parse().ok()?, mean.parse().ok()?)));
c|        let parts = state.parse().ok();
a|        SEEN.set(parts.ok_or_else(|| format!("`{state}` is not a state of this module"))?);
a|        Ok(())
a|    }
}

t|fn answer(record: @Record_rs@) -> Result<Option<Change>, String> {
t|    match record.@text_rs@.trim() {
t|        "" => Err("`@text@` is empty".to_owned()),
t|        text => Ok(Some(Change { @text_rs@: text.to_owned() })),
t|    }
t|}
n|fn row(record: @Record_rs@) -> Row {
n|    let (count, mean) = SEEN.get();
n|    let count = count + 1;
n|    let mean = mean + (record.@number_rs@ as f64 - mean) / count as f64;
n|    SEEN.set((count, mean));
n|    Row { count, mean }
n|}
c|fn row(_: @Record_rs@) -> Row {
c|    SEEN.set(SEEN.get() + 1);
c|    Row { count: SEEN.get() }
c|}
