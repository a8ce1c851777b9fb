//! The table and the plot of `docs/balancing.md`.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use super::Row;
use super::service::{FIRST, LAST};

const BEGIN: &str = "<!-- made by `make balancing` -->\n";
const END: &str = "<!-- end -->";

/// The table, in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = "| algorithm | alike: p50, p99 | one 10 × slower: p50, p99 | one fails 30 %: errors | the same with `on=5xx`: errors |\n|---|--:|--:|--:|--:|\n".to_owned();
    for Row { name, alike, slow, failing, ejecting } in rows {
        writeln!(
            text,
            "| {name} | {:.1}, {:.1} ms | {:.1}, {:.1} ms | {:.2} % | {:.2} % |",
            alike.p50,
            alike.p99,
            slow.p50,
            slow.p99,
            failing.errors * 100.0,
            ejecting.errors * 100.0
        )
        .unwrap();
    }
    text
}

/// Puts table and plot in their places.
pub fn write(rows: &[Row]) {
    let page = fs::read_to_string(docs("balancing.md")).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    replace("balancing.md", &format!("{before}{BEGIN}\n{}\n{END}{after}", table(rows)));
    replace("balancing.svg", &plot(rows));
}

/// At once: other tests read it.
fn replace(name: &str, text: &str) {
    let next = docs(&format!(".{name}"));
    fs::write(&next, text).unwrap();
    fs::rename(next, docs(name)).unwrap();
}

/// Panics unless the table is that of these rows, and the plot names each. Figures may differ a little, as from another
/// processor's arithmetic.
pub fn assert_is_current(rows: &[Row]) {
    let page = fs::read_to_string(docs("balancing.md")).unwrap();
    let plot = fs::read_to_string(docs("balancing.svg")).unwrap();
    let table = table(rows);
    for (line, Row { name, .. }) in table.lines().skip(2).zip(rows) {
        let written = page.lines().find(|written| written.starts_with(&format!("| {name} | "))).unwrap();
        let is_near = |(found, written): (f64, f64)| (found - written).abs() <= 0.1_f64.max(found * 0.05);
        let is_current = numbers(line).into_iter().zip(numbers(written)).all(is_near);
        assert!(is_current, "docs/balancing.md is out of date: make balancing\n{line}\n{written}");
        assert!(plot.contains(&format!(">{name}<")), "docs/balancing.svg is out of date: make balancing");
    }
}

fn numbers(line: &str) -> Vec<f64> {
    line.split(|c: char| !c.is_ascii_digit() && c != '.').filter_map(|number| number.parse().ok()).collect()
}

/// Panics unless the page has the text.
pub fn assert_says(text: &str) {
    assert!(fs::read_to_string(docs("balancing.md")).unwrap().contains(text), "docs/balancing.md: {text}");
}

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 60.0;
const BAR: f64 = 26.0;
/// Milliseconds where the bars end; longer ones are cut and say how long they are.
const LONGEST_MS: f64 = 400.0;

/// Bars of the latencies with one slow endpoint; below them the errors over time with one that fails.
fn plot(rows: &[Row]) -> String {
    let bars_end = 60.0 + BAR * rows.len() as f64;
    let (top, height) = (bars_end + 90.0, 180.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        top + height + 60.0
    );
    let mut text = |x: f64, y: f64, anchor: &str, size: u8, content: &str| {
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"#222\">{content}</text>")
            .unwrap();
    };
    text(LEFT, 24.0, "start", 15, "One of ten endpoints is ten times slower: latency in ms (dark p50, light p99)");
    let wide = WIDTH - LEFT - RIGHT;
    let mut shapes = String::new();
    for (number, Row { name, slow, .. }) in rows.iter().enumerate() {
        let y = 44.0 + BAR * number as f64;
        text(LEFT - 8.0, y + 14.0, "end", 13, name);
        let long = |ms: f64| ms.min(LONGEST_MS) / LONGEST_MS * wide;
        for (ms, colour) in [(slow.p99, "#9ec5e8"), (slow.p50, "#1f5f99")] {
            writeln!(
                shapes,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/>",
                long(ms)
            )
            .unwrap();
        }
        text(LEFT + long(slow.p99) + 6.0, y + 14.0, "start", 12, &format!("{:.0}", slow.p99));
    }
    text(
        LEFT,
        top - 24.0,
        "start",
        15,
        "One of ten endpoints answers 30 % with 503, least_conn: errors in % of all requests",
    );
    let lines = [("without on=5xx", "#c0504d", false), ("with on=5xx", "#2e8b57", true)];
    let x = |second: f64| LEFT + second / LAST as f64 * wide;
    let y = |share: f64| top + height - share / 0.06 * height;
    for percent in [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] {
        text(LEFT - 8.0, y(percent / 100.0) + 4.0, "end", 12, &format!("{percent}"));
        writeln!(
            shapes,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{1:.1}\" stroke=\"#ddd\"/>",
            LEFT + wide,
            y(percent / 100.0)
        )
        .unwrap();
    }
    for second in (0..=LAST).step_by(10) {
        text(x(second as f64), top + height + 18.0, "middle", 12, &format!("{second} s"));
    }
    let counted = x(FIRST as f64);
    writeln!(
        shapes,
        "<line x1=\"{counted:.1}\" x2=\"{counted:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\" stroke=\"#999\" stroke-dasharray=\"4 4\"/>",
        top + height
    )
    .unwrap();
    text(counted + 4.0, top + 10.0, "start", 11, "the table counts from here");
    let least_conn = rows.iter().find(|row| row.name == "least_conn").unwrap();
    for (number, (label, colour, ejects)) in lines.into_iter().enumerate() {
        let outcome = if ejects { &least_conn.ejecting } else { &least_conn.failing };
        let errors = outcome.errors_by_second.iter().enumerate();
        let points: Vec<String> =
            errors.map(|(second, share)| format!("{:.1},{:.1}", x(second as f64 + 0.5), y(share.min(0.06)))).collect();
        writeln!(
            shapes,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
            points.join(" ")
        )
        .unwrap();
        let place = LEFT + 420.0 + 150.0 * number as f64;
        writeln!(
            shapes,
            "<rect x=\"{place:.1}\" y=\"{:.1}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>",
            top + height + 40.0
        )
        .unwrap();
        text(place + 20.0, top + height + 46.0, "start", 12, label);
    }
    svg + &shapes + "</svg>\n"
}
