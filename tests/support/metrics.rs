//! Prometheus text: scraped from the admin listener and parsed strictly, so that a malformed line fails a test.

use std::collections::BTreeMap;

use super::s3::http;

/// Series that tests read: physical bytes by kind.
pub const PHYSICAL_BYTES: &str = "kovcheg_physical_bytes";
/// The kinds that [`PHYSICAL_BYTES`] has.
pub const PHYSICAL_KINDS: [&str; 4] = ["data", "parity", "records", "index"];

/// One sample: name, labels, value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the series.
    pub name: String,
    /// Labels, by name.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// Everything one scrape gave.
#[derive(Debug, Clone)]
pub struct Scrape(pub Vec<Sample>);

impl Scrape {
    /// Scrapes `/metrics` of an admin listener.
    pub fn take(port: u16) -> Self {
        let response = http::plain_get(port, "/metrics").expect("the admin listener answers");
        assert_eq!(response.status, 200, "/metrics answered {}: {}", response.status, response.text());
        Self(parse(&response.text()).unwrap_or_else(|line| panic!("malformed line in /metrics: {line:?}")))
    }

    /// The value of the series with exactly this name and this label; `None` when there is none.
    pub fn get(&self, name: &str, label: (&str, &str)) -> Option<f64> {
        let fits = |sample: &&Sample| sample.name == name && sample.labels.get(label.0).is_some_and(|v| v == label.1);
        self.0.iter().find(fits).map(|sample| sample.value)
    }

    /// Physical bytes of one kind.
    pub fn physical(&self, kind: &str) -> u64 {
        let value = self.get(PHYSICAL_BYTES, ("kind", kind));
        value.unwrap_or_else(|| panic!("no {PHYSICAL_BYTES}{{kind={kind:?}}} in {:?}", self.names())) as u64
    }

    /// Physical bytes of the kinds that hold what clients stored: data, parity, records. The index is derived, and its
    /// files come and go with compaction.
    pub fn stored(&self) -> u64 {
        ["data", "parity", "records"].iter().map(|kind| self.physical(kind)).sum()
    }

    /// Names of all series.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|sample| sample.name.as_str()).collect();
        names.dedup();
        names
    }
}

/// Parses Prometheus text; the first malformed line on failure.
pub fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| sample(line).ok_or_else(|| line.to_owned())).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.trim().rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else {
        return Some(Sample { name: series.trim().to_owned(), labels: BTreeMap::new(), value });
    };
    let mut rest = labels.strip_suffix('}')?;
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let end = after.find('"')?;
        labels.insert(label.trim_start_matches(',').to_owned(), after[..end].to_owned());
        rest = &after[end + 1..];
    }
    Some(Sample { name: name.to_owned(), labels, value })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn parses_labels_and_refuses_garbage() {
        let samples = parse("# HELP a b\na{kind=\"data\",disk=\"/x y\"} 12\nb 1.5e3\n").unwrap();
        assert_eq!(samples[0].labels["disk"], "/x y");
        assert_eq!((samples[0].value, samples[1].value), (12.0, 1500.0));
        assert!(parse("a{kind=\"data\" 12").is_err());
        assert!(parse("a twelve").is_err());
    }
}
