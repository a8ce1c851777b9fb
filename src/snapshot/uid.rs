//! `metadata.uid` in little memory: there is one for each Pod that serves.

use std::fmt;

/// The octets of a UUID between hyphens.
const GROUPS: [usize; 5] = [4, 2, 2, 2, 6];

/// An identifier that the API server made. A UUID in lower case, which they all are, takes no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Form);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    Text(Box<str>),
    Uuid([u8; 16]),
}

impl Uid {
    /// `None` if it is empty.
    pub fn new(text: &str) -> Option<Uid> {
        match uuid(text) {
            _ if text.is_empty() => None,
            Some(octets) => Some(Uid(Form::Uuid(octets))),
            None => Some(Uid(Form::Text(text.into()))),
        }
    }
}

impl fmt::Display for Uid {
    /// As it was read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Uuid(octets) => {
                let mut octets = octets.iter();
                for (index, length) in GROUPS.into_iter().enumerate() {
                    if index > 0 {
                        f.write_str("-")?;
                    }
                    for octet in octets.by_ref().take(length) {
                        write!(f, "{octet:02x}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; 16];
    let mut places = octets.iter_mut();
    let mut groups = text.split('-');
    for length in GROUPS {
        let group = groups.next().filter(|group| group.len() == 2 * length)?;
        for (pair, place) in group.as_bytes().chunks_exact(2).zip(places.by_ref().take(length)) {
            let &[high, low] = pair else { return None };
            *place = digit(high)? << 4 | digit(low)?;
        }
    }
    groups.next().is_none().then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_it_was_written() {
        let uuid = "0c4d3fd5-9f2b-4a51-8b6e-00ff10a2b3c4";
        assert_eq!(Uid::new(uuid).map(|uid| uid.0), super::uuid(uuid).map(Form::Uuid));
        assert!(super::uuid(uuid).is_some());
        let upper = uuid.to_uppercase();
        for text in
            [uuid, &upper, "pod-1", "0c4d3fd5-9f2b-4a51-8b6e-00ff10a2b3c", "0c4d3fd5-9f2b-4a51-8b6e-00ff10a2b3c4-"]
        {
            assert_eq!(Uid::new(text).unwrap().to_string(), text);
        }
        assert_eq!(Uid::new(""), None);
    }
}
