//! The report that build servers read.

use std::io::Cursor;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Outcome, Report};

/// One `testsuite` for each suite.
pub(super) fn write(reports: &[Report]) -> anyhow::Result<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Cursor::new(Vec::new()), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("testsuites").write_inner_content(|xml| {
        for report in reports {
            let failures = report.tests.iter().filter(|test| !test.passed).count().to_string();
            let count = report.tests.len().to_string();
            let time = seconds(report.seconds);
            xml.create_element("testsuite")
                .with_attribute(("name", clean(&report.suite).as_str()))
                .with_attribute(("tests", count.as_str()))
                .with_attribute(("failures", failures.as_str()))
                .with_attribute(("errors", "0"))
                .with_attribute(("time", time.as_str()))
                .write_inner_content(|xml| {
                    report.tests.iter().try_for_each(|test| write_test(xml, &report.suite, test))
                })?;
        }
        Ok(())
    })?;
    let mut text = xml.into_inner().into_inner();
    text.push(b'\n');
    Ok(text)
}

fn write_test(xml: &mut Writer<Cursor<Vec<u8>>>, suite: &str, test: &Outcome) -> std::io::Result<()> {
    let (name, class, time) = (clean(&test.name), clean(suite), seconds(test.seconds));
    let element = xml
        .create_element("testcase")
        .with_attribute(("name", name.as_str()))
        .with_attribute(("classname", class.as_str()))
        .with_attribute(("time", time.as_str()));
    if test.passed {
        return element.write_empty().map(drop);
    }
    element
        .write_inner_content(|xml| {
            let message = clean(&test.failures.join("; "));
            let lines: Vec<_> = [format!("at {}", test.at)].into_iter().chain(test.explained.iter().cloned()).collect();
            let text = clean(&lines.join("\n"));
            xml.create_element("failure")
                .with_attribute(("message", message.as_str()))
                .write_text_content(BytesText::new(&text))
                .map(drop)
        })
        .map(drop)
}

/// Without the characters that no XML may hold.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}
