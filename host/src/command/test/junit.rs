//! The outcome as JUnit XML, which continuous integration systems show.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// One case as it is reported.
pub(super) struct Report {
    pub name: String,
    pub took: Duration,
    /// What differed: a line for the list, and all of it.
    pub failure: Option<(String, String)>,
}

/// Writes the file.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(path: &Path, module: &str, reports: &[Report]) -> Result<()> {
    std::fs::write(path, xml(module, reports)).with_context(|| format!("`{}` cannot be written", path.display()))
}

/// Writes the file for cases that could not be run.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write_error(path: &Path, why: &str) -> Result<()> {
    std::fs::write(path, of_error(why)).with_context(|| format!("`{}` cannot be written", path.display()))
}

fn of_error(why: &str) -> String {
    let (first, all) = (escaped(why.lines().next().unwrap_or_default()), escaped(why));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"host test\" tests=\"1\" \
         failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0.000\">\n<testcase classname=\"host test\" \
         name=\"cases\" time=\"0.000\">\n<error message=\"{first}\" type=\"error\">{all}</error>\n</testcase>\n\
         </testsuite>\n</testsuites>\n"
    )
}

fn xml(module: &str, reports: &[Report]) -> String {
    let failures = reports.iter().filter(|report| report.failure.is_some()).count();
    let all: Duration = reports.iter().map(|report| report.took).sum();
    let (module, tests) = (escaped(module), reports.len());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{module}\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{:.3}\">\n",
        all.as_secs_f64()
    );
    for Report { name, took, failure } in reports {
        let (name, time) = (escaped(name), took.as_secs_f64());
        let _ = write!(xml, "<testcase classname=\"{module}\" name=\"{name}\" time=\"{time:.3}\"");
        let _ = match failure {
            None => writeln!(xml, "/>"),
            Some((what, all)) => {
                let (what, all) = (escaped(what), escaped(all));
                writeln!(xml, ">\n<failure message=\"{what}\" type=\"difference\">{all}</failure>\n</testcase>")
            }
        };
    }
    xml.push_str("</testsuite>\n</testsuites>\n");
    xml
}

/// Text for an element or an attribute. XML 1.0 has no place for most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_said_does_not_break_the_file() {
        let report = |name: &str, failure| Report { name: name.to_owned(), took: Duration::from_millis(1500), failure };
        let said = "- {\"a\":\"<b>\\u0000\"}\n+ \u{7}]]>&".to_owned();
        let xml = xml("m.wasm", &[report("good", None), report("<bad>", Some(("a \"b\"".to_owned(), said)))]);
        assert_eq!(
            xml,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"m.wasm\" tests=\"2\" failures=\"1\" \
             errors=\"0\" skipped=\"0\" time=\"3.000\">\n<testcase classname=\"m.wasm\" name=\"good\" time=\"1.500\"/>\n\
             <testcase classname=\"m.wasm\" name=\"&lt;bad&gt;\" time=\"1.500\">\n<failure message=\"a &quot;b&quot;\" \
             type=\"difference\">- {&quot;a&quot;:&quot;&lt;b&gt;\\u0000&quot;}\n+ \u{fffd}]]&gt;&amp;</failure>\n\
             </testcase>\n</testsuite>\n</testsuites>\n"
        );
    }
}
