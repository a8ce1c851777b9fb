//! The two text forms of metrics: Prometheus text 0.0.4 and OpenMetrics 1.0.0.
//!
//! Written here because crate `prometheus-client` prints OpenMetrics only: its header names a counter without `_total`,
//! which a reader of 0.0.4 takes for another, untyped metric. Both forms differ in three places, so both fit in one writer.

use std::fmt::Write as _;

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Text,
}

impl Exposition {
    /// OpenMetrics if `Accept` wants it at least as much as text; text otherwise (RFC 9110 12.5.1 for the weights).
    pub fn negotiate(accept: Option<&str>) -> Exposition {
        let (mut open, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut weight, mut known) = (1.0_f32, true);
            for parameter in parts {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                match name.trim() {
                    "q" => weight = value.trim().parse().unwrap_or(0.0),
                    "version" => known = matches!(value.trim().trim_matches('"'), "1.0.0" | "0.0.1" | "0.0.4"),
                    _ => {}
                }
            }
            if media.eq_ignore_ascii_case("application/openmetrics-text") && known {
                open = open.max(weight);
            } else if media.eq_ignore_ascii_case("text/plain") {
                text = text.max(weight);
            }
        }
        if open > 0.0 && open >= text { Exposition::OpenMetrics } else { Exposition::Text }
    }

    /// The `Content-Type` of the form.
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What a family measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; the name ends in `_total`.
    Counter,
    /// A present value.
    Gauge,
    /// Cumulative buckets with sum and count.
    Histogram,
}

/// A page of metrics being written. Each family is begun once, then gets its samples.
pub struct Page {
    form: Exposition,
    out: String,
    series: usize,
}

impl Page {
    /// An empty page.
    pub fn new(form: Exposition) -> Page {
        Page { form, out: String::with_capacity(16 << 10), series: 0 }
    }

    /// Begins a family. Its header is written with its first sample, so a family without samples leaves no trace.
    pub fn family<'p>(&'p mut self, kind: Kind, name: &'p str, help: &'p str) -> Family<'p> {
        Family { page: self, kind, name, help, begun: false }
    }

    /// How many samples were written.
    pub fn series(&self) -> usize {
        self.series
    }

    /// The page as sent.
    pub fn finish(mut self) -> String {
        if self.form == Exposition::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// One family of a [`Page`].
pub struct Family<'p> {
    page: &'p mut Page,
    kind: Kind,
    name: &'p str,
    help: &'p str,
    begun: bool,
}

impl Family<'_> {
    /// One sample of a whole number.
    pub fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        self.sample("", labels, None, format_args!("{value}"));
    }

    /// One sample of a number with a fraction.
    pub fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, None, format_args!("{value}"));
    }

    /// One histogram. `buckets` holds the counts *in* each bucket, the last one for `+Inf`; `bounds` their upper bounds
    /// in seconds, without the last; `sum` is in seconds.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], buckets: &[u64], sum: f64) {
        let mut total = 0_u64;
        for (index, count) in buckets.iter().enumerate() {
            total = total.wrapping_add(*count);
            let bound = match (bounds.get(index), self.page.form) {
                (None, _) => "+Inf".to_owned(),
                (Some(bound), Exposition::OpenMetrics) => format!("{bound:?}"),
                (Some(bound), Exposition::Text) => bound.to_string(),
            };
            self.sample("_bucket", labels, Some(&bound), format_args!("{total}"));
        }
        self.sample("_sum", labels, None, format_args!("{sum}"));
        self.sample("_count", labels, None, format_args!("{total}"));
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: std::fmt::Arguments<'_>) {
        if !self.begun {
            self.header();
        }
        let out = &mut self.page.out;
        out.push_str(self.name);
        out.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            out.push(separator);
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value);
            out.push('"');
            separator = ',';
        }
        if separator == ',' {
            out.push('}');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, " {value}");
        self.page.series += 1;
    }

    fn header(&mut self) {
        let name = match self.page.form {
            Exposition::OpenMetrics if self.kind == Kind::Counter => {
                self.name.strip_suffix("_total").unwrap_or(self.name)
            }
            _ => self.name,
        };
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.page.out, "# HELP {name} {}\n# TYPE {name} {kind}", self.help);
        self.begun = true;
    }
}

/// Backslash, quote and line feed are escaped in label values, in both forms.
fn escape(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(form: Exposition) -> String {
        let mut page = Page::new(form);
        page.family(Kind::Counter, "a_total", "Things.").count(&[("x", "q\"\\\n")], 3);
        page.family(Kind::Gauge, "b", "Level.").value(&[], 1.5);
        page.family(Kind::Histogram, "c_seconds", "Time.").histogram(&[("k", "v")], &[0.5, 1.0], &[2, 0, 1], 4.25);
        let _ = page.family(Kind::Gauge, "silent", "Nothing.");
        assert_eq!(page.series(), 7);
        page.finish()
    }

    #[test]
    fn text_names_the_counter_in_full_in_its_header() {
        assert_eq!(
            page(Exposition::Text),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\"} 3\n\
             # HELP b Level.\n# TYPE b gauge\nb 1.5\n\
             # HELP c_seconds Time.\n# TYPE c_seconds histogram\nc_seconds_bucket{k=\"v\",le=\"0.5\"} 2\n\
             c_seconds_bucket{k=\"v\",le=\"1\"} 2\nc_seconds_bucket{k=\"v\",le=\"+Inf\"} 3\n\
             c_seconds_sum{k=\"v\"} 4.25\nc_seconds_count{k=\"v\"} 3\n"
        );
    }

    #[test]
    fn open_metrics_strips_total_from_the_header_and_ends_in_eof() {
        assert_eq!(
            page(Exposition::OpenMetrics),
            "# HELP a Things.\n# TYPE a counter\na_total{x=\"q\\\"\\\\\\n\"} 3\n\
             # HELP b Level.\n# TYPE b gauge\nb 1.5\n\
             # HELP c_seconds Time.\n# TYPE c_seconds histogram\nc_seconds_bucket{k=\"v\",le=\"0.5\"} 2\n\
             c_seconds_bucket{k=\"v\",le=\"1.0\"} 2\nc_seconds_bucket{k=\"v\",le=\"+Inf\"} 3\n\
             c_seconds_sum{k=\"v\"} 4.25\nc_seconds_count{k=\"v\"} 3\n# EOF\n"
        );
    }

    #[test]
    fn accept_decides_the_form() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                          text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, form) in [
            (None, Exposition::Text),
            (Some("*/*"), Exposition::Text),
            (Some("text/plain"), Exposition::Text),
            (Some(prometheus), Exposition::OpenMetrics),
            (Some("Application/OpenMetrics-Text"), Exposition::OpenMetrics),
            (Some("application/openmetrics-text; q=0"), Exposition::Text),
            (Some("application/openmetrics-text; version=2.0.0"), Exposition::Text),
            (Some("application/openmetrics-text;q=0.1, text/plain;q=0.9"), Exposition::Text),
        ] {
            assert_eq!(Exposition::negotiate(accept), form, "{accept:?}");
        }
    }
}
