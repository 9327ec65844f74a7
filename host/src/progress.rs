//! What is going on, while it goes on: a line for each feed, stage and sink.
//!
//! On a terminal the lines are live; elsewhere they are log lines, every `LOG_EVERY` and at the end. Whoever waits for a
//! run calls [`Progress::tick`] as often as it likes; workers only count. Used by the commands that run something.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::aside::Aside;
use crate::metrics::Counters;

/// How often the lines of a terminal change.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often the log gets a summary.
const LOG_EVERY: Duration = Duration::from_secs(10);

const TEMPLATE: &str = "{spinner} {prefix:26!} {wide_msg}";

/// The one terminal of the process, on which progress is drawn and log lines are written.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// How long a summary waits for how much is left.
const LOOK: Duration = Duration::from_secs(1);

/// Shows how far everything is.
pub struct Progress {
    lines: Vec<Line>,
    /// How many records each role has before it. None where that cannot be told.
    lag: Aside<Vec<String>, Vec<Option<u64>>>,
    /// None where there is no terminal.
    bars: Option<MultiProgress>,
    every: Duration,
    started: Instant,
    last: Instant,
}

/// One feed, stage or sink.
struct Line {
    role: String,
    bar: Option<ProgressBar>,
    /// Records in at the last look.
    last_in: u64,
    /// How many were before it when that was told last.
    lag: Option<u64>,
}

/// The numbers of a line.
#[derive(Clone, Debug, PartialEq)]
struct Reading {
    records_in: u64,
    records_out: u64,
    dropped: u64,
    dead_letters: u64,
    skipped: u64,
    swaps: u64,
    refused: u64,
    per_second: f64,
    lag: Option<u64>,
    waiting: Option<String>,
}

/// What else writes to the terminal asks this to step aside.
pub fn bars() -> &'static MultiProgress {
    &BARS
}

/// Takes live progress off the terminal for good, for a process that is about to quit.
pub fn leave_terminal() {
    // Without standard error there is nothing to leave.
    let _ = bars().clear();
    bars().set_draw_target(ProgressDrawTarget::hidden());
}

// === impl Progress ===

impl Progress {
    /// Nothing shown yet. Lines are live if standard error is a terminal, and nobody has hidden [`bars`].
    ///
    /// `lag` tells how many records a feed, stage or sink has before it, if it can. It may take its time.
    #[must_use]
    pub fn new(lag: impl FnMut(&str) -> Option<u64> + Send + 'static) -> Self {
        Self::on((!bars().is_hidden()).then(|| bars().clone()), lag)
    }

    fn on(bars: Option<MultiProgress>, mut lag: impl FnMut(&str) -> Option<u64> + Send + 'static) -> Self {
        let (every, now) = (if bars.is_some() { DRAW_EVERY } else { LOG_EVERY }, Instant::now());
        let lag = Aside::new(move |roles: Vec<String>| roles.iter().map(|role| lag(role)).collect());
        Self { lines: Vec::new(), lag, bars, every, started: now, last: now }
    }

    /// Shows the numbers, if it is time to.
    pub fn tick(&mut self, watched: &[(String, Arc<Counters>)]) {
        let now = Instant::now();
        let since = now.duration_since(self.last);
        if since >= self.every {
            self.last = now;
            // On a terminal the answer of the last time will do.
            self.look(watched, if self.bars.is_some() { Duration::ZERO } else { LOOK });
            self.show(watched, since);
        }
    }

    /// Shows the last numbers, with rates over all the time, and ends.
    pub fn finish(mut self, watched: &[(String, Arc<Counters>)]) {
        // What was told before the end is of no more use.
        drop(self.lag.answer(LOOK));
        self.lines.iter_mut().for_each(|line| (line.last_in, line.lag) = (0, None));
        self.look(watched, LOOK);
        self.show(watched, self.started.elapsed());
        // They stay as plain lines, below which others can write.
        let last: String = self.lines.iter().filter_map(Line::cleared).collect();
        if !self.bars.as_ref().is_none_or(MultiProgress::is_hidden) {
            // Without standard error there is nobody to show them to.
            let _ = io::stderr().write_all(last.as_bytes());
        }
    }

    /// Asks how much is left, and takes what is answered within this time.
    fn look(&mut self, watched: &[(String, Arc<Counters>)], within: Duration) {
        for (role, _) in watched.iter().skip(self.lines.len()) {
            self.lines.push(Line::new(role, self.bars.as_ref()));
        }
        self.lag.ask(watched.iter().map(|(role, _)| role.clone()).collect());
        for (line, lag) in self.lines.iter_mut().zip(self.lag.answer(within).unwrap_or_default()) {
            line.lag = lag;
        }
    }

    fn show(&mut self, watched: &[(String, Arc<Counters>)], since: Duration) {
        for (line, (_, counters)) in self.lines.iter_mut().zip(watched) {
            let reading = line.read(counters, since);
            match &line.bar {
                Some(bar) => {
                    bar.set_message(reading.in_words());
                    bar.tick();
                }
                None => reading.log(&line.role),
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // A run that fails leaves an error behind, and no half of a line before it.
        self.lines.iter().filter_map(Line::cleared).for_each(drop);
    }
}

// === impl Line ===

impl Line {
    fn new(role: &str, bars: Option<&MultiProgress>) -> Self {
        let bar = bars.map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_prefix(role.to_owned()));
            // The template is a constant, which a test parses.
            bar.with_style(ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { role: role.to_owned(), bar, last_in: 0, lag: None }
    }

    /// Takes it off the terminal. What it said last.
    fn cleared(&self) -> Option<String> {
        let bar = self.bar.as_ref()?;
        bar.finish_and_clear();
        Some(format!("  {:26} {}\n", self.role, bar.message()))
    }

    fn read(&mut self, counters: &Counters, since: Duration) -> Reading {
        let records_in = counters.records_in.get();
        let more = records_in.saturating_sub(std::mem::replace(&mut self.last_in, records_in)) as f64;
        let seconds = since.as_secs_f64();
        Reading {
            records_in,
            records_out: counters.records_out.get(),
            dropped: counters.dropped.get(),
            dead_letters: counters.dead_letters.get(),
            skipped: counters.skipped.get(),
            swaps: counters.swaps.get(),
            refused: counters.refused.get(),
            waiting: counters.waiting.get(),
            per_second: if seconds > 0.0 { more / seconds } else { 0.0 },
            lag: self.lag,
        }
    }
}

// === impl Reading ===

impl Reading {
    fn in_words(&self) -> String {
        let mut text = format!(
            "{:>10} in {:>10} out {:>9}/s",
            grouped(self.records_in),
            grouped(self.records_out),
            grouped(self.per_second.round() as u64)
        );
        for (number, what) in [
            (self.dropped, "dropped"),
            (self.dead_letters, "dead letters"),
            (self.skipped, "skipped"),
            (self.swaps, "swaps"),
            (self.refused, "modules refused"),
            (self.lag.unwrap_or(0), "to do"),
        ] {
            if number > 0 {
                text.push_str(&format!("  {} {what}", grouped(number)));
            }
        }
        if let Some(why) = &self.waiting {
            text.push_str(&format!("  waiting: {why}"));
        }
        text
    }

    fn log(&self, role: &str) {
        let Self { records_in, records_out, dropped, dead_letters, skipped, swaps, refused, per_second, lag, waiting } =
            self;
        let per_second = per_second.round() as u64;
        tracing::info!(
            role,
            records_in,
            records_out,
            per_second,
            dropped,
            dead_letters,
            skipped,
            swaps,
            modules_refused = refused,
            lag,
            waiting,
            "progress"
        );
    }
}

/// With a comma every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rates_count_from_the_last_look() {
        let (mut line, counters) = (Line::new("stage a", None), Counters::default());
        counters.records_in.add(1000);
        assert_eq!(line.read(&counters, 2 * SECOND).per_second, 500.0);
        counters.records_in.add(30);
        let reading = line.read(&counters, SECOND);
        assert_eq!((reading.records_in, reading.per_second), (1030, 30.0));
        assert_eq!(line.read(&counters, Duration::ZERO).per_second, 0.0);
    }

    #[test]
    fn only_what_happened_is_told() {
        let (mut line, counters) = (Line::new("stage a", None), Counters::default());
        counters.records_in.add(12);
        line.lag = Some(1_234_567);
        let text = line.read(&counters, SECOND).in_words();
        assert!(text.contains("12 in") && text.ends_with("1,234,567 to do"), "{text}");
        assert!(!text.contains("dead letters"));
        counters.dead_letters.add(2);
        assert!(line.read(&counters, SECOND).in_words().contains("2 dead letters"));
        counters.waiting.set(Some("1 of the 2 replicas".to_owned()));
        assert!(line.read(&counters, SECOND).in_words().ends_with("waiting: 1 of the 2 replicas"));
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1_000_000].map(grouped), ["0", "999", "1,000", "1,000,000"]);
    }

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn the_end_shows_the_last_numbers_and_lets_the_terminal_go() {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let lag = |role: &str| (role == "stage s").then_some(3);
        let mut progress = Progress::on(Some(bars), lag);
        let watched = [("feed f".to_owned(), Arc::<Counters>::default()), ("stage s".to_owned(), Arc::default())];
        progress.last -= DRAW_EVERY;
        progress.tick(&watched);
        watched[0].1.records_in.add(7);
        let shown: Vec<ProgressBar> = progress.lines.iter().filter_map(|line| line.bar.clone()).collect();
        progress.finish(&watched);
        assert!(shown[0].message().contains("7 in"), "{}", shown[0].message());
        assert!(shown[1].message().contains("3 to do"), "{}", shown[1].message());
        assert!(shown.iter().all(ProgressBar::is_finished));
    }
}
