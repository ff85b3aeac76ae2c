//! Batches of nf_tables that a test writes, in hexadecimal digits, and files that it names.

use portreeve_sdk::files::File;
use portreeve_sdk::netfilter::{self, Acknowledgement, Dump, Watch};
use portreeve_sdk::types::ErrorCode;

/// Of each kind the one that was opened last.
#[derive(Default)]
pub struct Tables {
    dump: Option<Dump>,
    watch: Option<Watch>,
    file: Option<File>,
}

impl Tables {
    /// Does what the words behind `netfilter` say.
    pub async fn call(&mut self, words: &[&str]) -> Result<Vec<String>, ErrorCode> {
        let none = || ErrorCode::NotFound;
        match *words {
            ["order"] => Ok(vec![format!("{:?}", netfilter::byte_order())]),
            ["commit", digits] => Ok(told(netfilter::commit(bytes(digits)?).await?)),
            ["check", digits] => Ok(told(netfilter::check(bytes(digits)?).await?)),
            ["generation"] => Ok(vec![netfilter::generation().await?.to_string()]),
            ["dump", digits] => {
                self.dump = Some(Dump::open(&bytes(digits)?)?);
                Ok(vec!["ok".to_owned()])
            }
            ["connections", family] => {
                let family = match family {
                    "4" => netfilter::ConnectionFamily::Ipv4,
                    _ => netfilter::ConnectionFamily::Ipv6,
                };
                self.dump = Some(Dump::connections(family)?);
                Ok(vec!["ok".to_owned()])
            }
            // All that is left of it, a line for each datagram.
            ["read"] => {
                let (dump, mut lines) = (self.dump.as_ref().ok_or_else(none)?, Vec::new());
                loop {
                    let datagram = dump.next().await?;
                    if datagram.is_empty() {
                        return Ok(lines);
                    }
                    lines.push(datagram.iter().map(|byte| format!("{byte:02x}")).collect());
                }
            }
            ["watch"] => {
                self.watch = Some(Watch::open()?);
                Ok(vec!["ok".to_owned()])
            }
            ["change"] => {
                let change = self.watch.as_ref().ok_or_else(none)?.next().await?;
                Ok(vec![change.by_us.to_string(), change.tables.join(" "), change.process, change.lost.to_string()])
            }
            _ => Ok(vec!["unknown command".to_owned()]),
        }
    }

    /// Does what the words behind `file` say.
    pub async fn file(&mut self, words: &[&str]) -> Result<Vec<String>, ErrorCode> {
        let none = || ErrorCode::NotFound;
        match *words {
            ["open", path] => {
                self.file = Some(File::open(path)?);
                Ok(vec!["ok".to_owned()])
            }
            ["read"] => {
                let bytes = self.file.as_ref().ok_or_else(none)?.read().await?;
                Ok(vec![String::from_utf8_lossy(&bytes).into_owned()])
            }
            ["changed"] => {
                self.file.as_ref().ok_or_else(none)?.changed().await?;
                Ok(vec!["ok".to_owned()])
            }
            _ => Ok(vec!["unknown command".to_owned()]),
        }
    }
}

/// A line each: sequence number, errno, where, and the kernel's words.
fn told(list: Vec<Acknowledgement>) -> Vec<String> {
    let line = |found: Acknowledgement| {
        let offset = found.offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        format!("{} {} {offset} {}", found.sequence, found.errno, found.message.unwrap_or_default())
            .trim_end()
            .to_owned()
    };
    list.into_iter().map(line).collect()
}

fn bytes(digits: &str) -> Result<Vec<u8>, ErrorCode> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>().ok_or(ErrorCode::InvalidArgument)
}
