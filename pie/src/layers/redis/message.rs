//! What processes tell each other through a channel, and how a listener notices that it missed something.
//!
//! ```text
//! version u8 | kind u8 | publisher [u8; 16] | sequence u64 | sent u64 ms | content
//! ```
//!
//! Integers are little-endian. The content of kind 1 is names, of kind 2 a scope and a pattern; texts have their length in
//! front, as in the wire format of values. The version changes with anything else.

use std::collections::{BTreeSet, HashMap};

use crate::cache::stamps::StampName;
use crate::codec::{Decoder, Encoder};

const VERSION: u8 = 1;
const NAMES: u8 = 1;
const PATTERN: u8 = 2;
const HEADER: usize = 2 + 16 + 8 + 8;
/// How many names one message has at most.
pub(super) const NAMES_PER_MESSAGE: usize = 1_000;
/// More missing messages of one publisher than this are a gap at once.
const MOST_MISSING: u64 = 10_000;
/// More publishers than this are forgotten and learnt anew.
const MOST_PUBLISHERS: usize = 10_000;

/// Who sent a message: random, one for each Redis layer.
pub(super) type Publisher = [u8; 16];

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Names(Vec<StampName>),
    Pattern { scope: String, pattern: String },
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) publisher: Publisher,
    /// Counts the messages of one publisher.
    pub(super) sequence: u64,
    /// When it was sent, in milliseconds since 1970 UTC by the sender's clock.
    pub(super) sent: u64,
    pub(super) content: Content,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut content = Encoder::new();
        let kind = match &self.content {
            Content::Names(names) => {
                content.uint(names.len() as u64);
                names.iter().for_each(|name| content.text(name.as_str()));
                NAMES
            }
            Content::Pattern { scope, pattern } => {
                content.text(scope);
                content.text(pattern);
                PATTERN
            }
        };
        let content = content.into_bytes();
        let mut out = Vec::with_capacity(HEADER + content.len());
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&self.publisher);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.sent.to_le_bytes());
        out.extend_from_slice(&content);
        out
    }

    /// The message of these bytes; `None` for anything that this version did not write.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, content) = bytes.split_at_checked(HEADER)?;
        let number = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        if header[0] != VERSION {
            return None;
        }
        let mut input = Decoder::new(content);
        let content = match header[1] {
            NAMES => {
                let count = input.uint()?;
                if count > NAMES_PER_MESSAGE as u64 {
                    return None;
                }
                let names = (0..count).map(|_| input.text().and_then(|text| StampName::received(&text)));
                Content::Names(names.collect::<Option<Vec<_>>>()?)
            }
            PATTERN => Content::Pattern { scope: input.text()?, pattern: input.text()? },
            _ => return None,
        };
        let publisher = header.get(2..18)?.try_into().ok()?;
        Some(Self { publisher, sequence: number(18)?, sent: number(26)?, content })
    }
}

/// What was heard of one publisher.
#[derive(Debug, Default)]
struct Heard {
    next: u64,
    /// Sequence numbers that others overtook.
    missing: BTreeSet<u64>,
    /// Those of them that were missing already when the last echo came.
    overdue: BTreeSet<u64>,
}

/// Keeps count of the messages of all publishers.
///
/// Messages of one publisher may overtake each other on their way to the server, by a little. One that is still missing
/// after two echoes of the listener's own heartbeat, which came on the same connection, will not come any more.
#[derive(Debug, Default)]
pub(super) struct Ears(HashMap<Publisher, Heard>);

impl Ears {
    /// Notes a message; `true` when others must have been missed.
    pub(super) fn hear(&mut self, publisher: Publisher, sequence: u64) -> bool {
        if self.0.len() > MOST_PUBLISHERS {
            self.0.clear();
        }
        let first = Heard { next: sequence, ..Heard::default() };
        let heard = self.0.entry(publisher).or_insert(first);
        if sequence < heard.next {
            heard.missing.remove(&sequence);
            heard.overdue.remove(&sequence);
            return false;
        }
        let skipped = sequence - heard.next;
        let gap = skipped > MOST_MISSING;
        if !gap {
            heard.missing.extend(heard.next..sequence);
        }
        heard.next = sequence.saturating_add(1);
        gap
    }

    /// Notes an echo of the own heartbeat; `true` when messages were missed.
    pub(super) fn echo(&mut self) -> bool {
        let mut gap = false;
        for heard in self.0.values_mut() {
            if !heard.overdue.is_empty() {
                gap = true;
                heard.missing.clear();
            }
            heard.overdue.clone_from(&heard.missing);
        }
        gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> StampName {
        StampName::new("pie:", text)
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let names = Content::Names(vec![name("k:user:1"), name("t:users")]);
        let pattern = Content::Pattern { scope: "pie:".into(), pattern: "users:*:x".into() };
        for content in [names, pattern] {
            let message = Message { publisher: [7; 16], sequence: 300, sent: 1_700_000_000_000, content };
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let content = Content::Names(vec![name("n")]);
        let bytes = Message { publisher: [1; 16], sequence: 2, sent: 3, content }.encode();
        let mut golden = vec![1, 1];
        golden.extend_from_slice(&[1; 16]);
        golden.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend_from_slice(b"\x01\x06pie:~n");
        assert_eq!(bytes, golden);
    }

    #[test]
    fn what_overtakes_is_no_gap_and_what_never_comes_is_one() {
        let mut ears = Ears::default();
        let p = [0; 16];
        assert!(![5, 7, 6, 9].into_iter().any(|sequence| ears.hear(p, sequence)));
        assert!(!ears.echo(), "8 may still come");
        assert!(!ears.hear(p, 8));
        assert!(!ears.echo());
        assert!(!ears.hear(p, 11));
        assert!(!ears.echo());
        assert!(ears.echo(), "10 never came");
        assert!(!ears.echo(), "said once");
        assert!(ears.hear(p, 1_000_000));
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_no_message_and_no_panic(bytes: Vec<u8>) {
            let _ = Message::decode(&bytes);
            let mut bytes = bytes;
            bytes.splice(0..0, [1, 1]);
            let _ = Message::decode(&bytes);
        }
    }
}
