//! The words of one rule as conditions and a target.
//!
//! Words that make no sense are an error; options that make sense to iptables and have no counterpart here go to
//! [`Parsed::missing`], and the rule is then left out as a whole. Values are in `options/`: addresses, ICMP's types,
//! the names of protocols and ports, matches that have several options, targets.

mod address;
pub(super) mod icmp;
mod matches;
mod names;
mod target;

pub(super) use target::Target;

use super::super::Severity;
use super::plan::{Field, Matches, Value};
use super::{Family, read::Chain};
use matches::Several;
use target::TargetOptions;

/// A rule, understood.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// All of them must hold; more than one only if one rule cannot say it.
    pub conditions: Vec<Matches>,
    /// One of the two must hold as well, the first if both do.
    pub either: Option<(Matches, Matches)>,
    pub name: Option<String>,
    pub target: Target,
    /// What has no counterpart, in the words of the file.
    pub missing: Vec<String>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Why no packet ever matched.
    pub never: Option<String>,
    /// What is worth knowing although the rule is taken over.
    pub remarks: Vec<(Severity, String)>,
}

impl Parsed {
    /// Adds a condition, in a rule of its own if need be.
    fn add(&mut self, field: Field, value: Value) {
        if !self.conditions.iter_mut().any(|matches| matches.add(field, &value)) {
            self.conditions.push(Matches::default());
            self.add(field, value);
        }
    }

    pub(super) fn list(&mut self, field: Field, negated: bool, items: Vec<String>) {
        self.add(field, Value::List { negated, items });
    }

    /// The value of a field in the first rule.
    fn get(&self, field: Field) -> Option<&Value> {
        self.conditions.iter().find_map(|matches| matches.0.get(&field))
    }
}

/// What the rule is read for.
pub(super) struct About<'a> {
    pub family: Family,
    /// The chains of its table.
    pub chains: &'a [Chain],
    /// The built-in chain it stands in, if any.
    pub hook: Option<&'a str>,
}

/// Reads the words of a rule.
pub(super) fn parse(words: &[String], about: &About<'_>) -> Result<Parsed, String> {
    let mut reader = Reader {
        words,
        at: 0,
        attached: None,
        about,
        module: String::new(),
        parsed: Parsed::default(),
        several: Several::default(),
        target: TargetOptions::default(),
        protocol: None,
        ports: None,
    };
    while let Some(word) = reader.next() {
        let negated = word == "!";
        let word = if negated { reader.next().ok_or("`!` stands before nothing; remove it")? } else { word };
        let option = reader.detach(word);
        reader.option(&option, negated)?;
        if reader.attached.is_some() {
            return Err(format!("`{option}` has no value in front of `=`; remove what follows it"));
        }
    }
    reader.finish()
}

pub(super) struct Reader<'a> {
    words: &'a [String],
    at: usize,
    /// `22` of `--dport=22`.
    attached: Option<String>,
    about: &'a About<'a>,
    /// What the last `-m` named.
    module: String,
    parsed: Parsed,
    several: Several,
    target: TargetOptions,
    /// As its number, and whether it is negated.
    protocol: Option<(u8, bool)>,
    /// An option that needs ports.
    ports: Option<String>,
}

/// Options whose first letter alone may be written, their value without a space.
const SHORT: [&str; 8] = ["-s", "-d", "-i", "-o", "-p", "-j", "-g", "-m"];

impl Reader<'_> {
    fn next(&mut self) -> Option<String> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word.clone())
    }

    /// The option's name, its value put aside if it is in the same word.
    fn detach(&mut self, word: String) -> String {
        if word.starts_with("--")
            && let Some((option, value)) = word.split_once('=')
        {
            self.attached = Some(value.to_owned());
            return option.to_owned();
        }
        if let Some((option, value)) = word.split_at_checked(2)
            && SHORT.contains(&option)
            && !value.is_empty()
        {
            self.attached = Some(value.to_owned());
            return option.to_owned();
        }
        word
    }

    /// The value of an option; an exclamation mark before it (as before 2009) turns `negated` round.
    fn value(&mut self, option: &str, negated: &mut bool) -> Result<String, String> {
        if let Some(value) = self.attached.take() {
            return Ok(value);
        }
        let missing = || format!("`{option}` has no value; write one behind it");
        let value = self.next().ok_or_else(missing)?;
        if value != "!" {
            return Ok(value);
        }
        *negated = !*negated;
        self.next().ok_or_else(missing)
    }

    /// A value of an option that cannot be negated.
    fn plain(&mut self, option: &str, negated: bool) -> Result<String, String> {
        let mut turned = negated;
        let value = self.value(option, &mut turned)?;
        if turned { Err(format!("`{option}` cannot be negated; remove the `!`")) } else { Ok(value) }
    }

    /// Keeps an option without a counterpart, with its values, for the report.
    fn missing(&mut self, option: &str, negated: bool) {
        let mut text = if negated { format!("! {option}") } else { option.to_owned() };
        if let Some(value) = self.attached.take() {
            text = format!("{text}={value}");
        }
        while let Some(word) = self.words.get(self.at).filter(|word| !word.starts_with('-') && *word != "!") {
            text = format!("{text} {word}");
            self.at += 1;
        }
        if self.target.is_foreign() && option.starts_with("--") {
            self.target.more(&text);
        } else {
            self.parsed.missing.push(text);
        }
    }

    fn option(&mut self, option: &str, negated: bool) -> Result<(), String> {
        let mut negated = negated;
        match option {
            "-s" | "--source" | "--src" => return self.addresses(Field::Source, option, negated),
            "-d" | "--destination" | "--dst" => return self.addresses(Field::Destination, option, negated),
            "-i" | "--in-interface" => return self.interface(Field::Incoming, option, negated),
            "-o" | "--out-interface" => return self.interface(Field::Outgoing, option, negated),
            "-p" | "--protocol" | "--proto" => {
                let value = self.value(option, &mut negated)?;
                return self.protocol(&value, negated);
            }
            "-m" | "--match" => {
                self.module = self.plain(option, negated)?;
                if !matches::is_known(&self.module) {
                    let module = self.module.clone();
                    self.parsed.missing.push(format!("-m {module}"));
                    self.parsed.hints.extend(matches::hint(&module).map(str::to_owned));
                }
            }
            "-j" | "--jump" | "-g" | "--goto" => {
                let name = self.plain(option, negated)?;
                let goto = option.starts_with("-g") || option == "--goto";
                self.target.begin(&name, goto, self.about)?;
                // What follows is the target's.
                self.module.clear();
            }
            "-f" | "--fragment" | "--fragments" => {
                if self.about.family == Family::Ipv6 {
                    return Err(format!("`{option}` is of IPv4 only; remove it"));
                }
                if negated {
                    self.missing(option, negated);
                } else {
                    self.parsed.add(Field::LaterFragments, Value::Text("true".into()));
                }
            }
            "-c" | "--set-counters" => {
                for _ in 0..2 {
                    let count = self.plain(option, negated)?;
                    count.parse::<u64>().map_err(|_| format!("`{count}` is no counter; write a number"))?;
                }
            }
            "-4" | "--ipv4" | "-6" | "--ipv6" => {
                let wanted = if option.ends_with('4') { Family::Ipv4 } else { Family::Ipv6 };
                if wanted != self.about.family {
                    self.parsed.never = Some(format!("`{option}` is of the other family"));
                }
            }
            _ if !option.starts_with('-') => {
                return Err(format!("`{option}` is no option; look for a missing quote or a misspelt value before it"));
            }
            _ if self.target.is_foreign() || !matches::is_known(&self.module) => {
                // What an unknown target or match takes may have a name that others know, such as `--mark`.
                if !self.known_always(option, negated)? {
                    self.missing(option, negated);
                }
            }
            _ => self.extension(option, negated)?,
        }
        Ok(())
    }

    /// What a matcher or target takes.
    fn extension(&mut self, option: &str, negated: bool) -> Result<(), String> {
        if self.known_always(option, negated)? || self.target_option(option, negated)? {
            return Ok(());
        }
        if !self.match_option(option, negated)? {
            self.missing(option, negated);
        }
        Ok(())
    }

    fn addresses(&mut self, field: Field, option: &str, negated: bool) -> Result<(), String> {
        let mut negated = negated;
        let value = self.value(option, &mut negated)?;
        let mut items = Vec::new();
        for part in value.split(',') {
            match address::parse(part, self.about.family)? {
                address::Parsed::One(text) => items.push(text),
                address::Parsed::Any if negated => {
                    self.parsed.never = Some(format!("`! {option} {value}` leaves no address"));
                    return Ok(());
                }
                address::Parsed::Any => return Ok(()),
                address::Parsed::Scattered => {
                    self.parsed.missing.push(format!("{option} {value}"));
                    return Ok(());
                }
            }
        }
        if negated && items.len() > 1 {
            return Err(format!("`! {option}` takes one address; iptables has no rule for several"));
        }
        if items.len() > 1 {
            self.several.listed = true;
        }
        self.parsed.list(field, negated, items);
        Ok(())
    }

    fn interface(&mut self, field: Field, option: &str, negated: bool) -> Result<(), String> {
        let mut negated = negated;
        let value = self.value(option, &mut negated)?;
        let known = match self.about.hook {
            Some("OUTPUT" | "POSTROUTING") => field == Field::Outgoing,
            Some("PREROUTING" | "INPUT") => field == Field::Incoming,
            _ => true,
        };
        if !known {
            let chain = self.about.hook.unwrap_or_default();
            return Err(format!("`{option}` is not known in {chain}; packets have no such interface there"));
        }
        if value == "+" {
            if negated {
                self.parsed.never = Some(format!("`! {option} +` leaves no interface"));
            }
            return Ok(());
        }
        let name = value.strip_suffix('+').unwrap_or(&value);
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '*' | '!' | ':');
        if name.is_empty() || name.len() > 15 || name.contains(odd) {
            return Err(format!("`{value}` is no interface; write a name of at most 15 bytes"));
        }
        let star = if name.len() < value.len() { "*" } else { "" };
        self.parsed.list(field, negated, vec![format!("{name}{star}")]);
        Ok(())
    }

    fn protocol(&mut self, value: &str, negated: bool) -> Result<(), String> {
        let number = names::protocol(value)
            .ok_or_else(|| format!("`{value}` is no protocol that is known here; write its number"))?;
        if self.protocol.is_some() {
            return Err("a second `-p` stands in the rule; remove one".into());
        }
        if number == 0 {
            if negated {
                self.parsed.never = Some("`! -p all` leaves no protocol".into());
            }
            return Ok(());
        }
        self.protocol = Some((number, negated));
        let other = if self.about.family == Family::Ipv4 { 58 } else { 1 };
        if number == other {
            let family = self.about.family.name();
            if negated {
                return Ok(());
            }
            self.parsed.never = Some(format!("no packet of {family} has the protocol {number}"));
        }
        self.parsed.list(Field::Protocol, negated, vec![names::protocol_ron(number)]);
        Ok(())
    }

    fn finish(mut self) -> Result<Parsed, String> {
        if let Some(option) = &self.ports
            && !matches!(self.protocol, Some((6 | 17 | 33 | 132 | 136, false)))
        {
            return Err(format!("`{option}` needs a protocol that has ports; write `-p tcp` or the like before it"));
        }
        let tcp = self.protocol == Some((6, false));
        if !tcp && self.parsed.get(Field::TcpFlags).is_some() {
            return Err("only TCP has flags; write `-p tcp` before them".into());
        }
        if !tcp && self.target.clamps() {
            return Err("only TCP has segments; write `-p tcp --tcp-flags SYN,RST SYN` before it".into());
        }
        self.finish_several()?;
        if matches!(self.parsed.get(Field::Icmp), Some(Value::List { .. })) {
            let own = if self.about.family == Family::Ipv4 { 1 } else { 58 };
            if self.protocol != Some((own, false)) {
                return Err("types of ICMP need the protocol; write `-p icmp` or `-p ipv6-icmp` before them".into());
            }
        }
        if self.parsed.conditions.is_empty() {
            self.parsed.conditions.push(Matches::default());
        }
        // What counts packets comes last, as it does in a rule, so that it counts those only that match the rest.
        if self.parsed.conditions.len() > 1 {
            let (first, rest) = self.parsed.conditions.split_at_mut(1);
            for (first, last) in first.iter_mut().zip(rest.last_mut()) {
                for field in [Field::Limit, Field::Connections] {
                    if !last.0.contains_key(&field)
                        && let Some(value) = first.0.remove(&field)
                    {
                        last.0.insert(field, value);
                    }
                }
            }
        }
        let (target, remarks) = std::mem::take(&mut self.target).finish(self.about)?;
        self.parsed.target = target;
        self.parsed.remarks.extend(remarks);
        Ok(self.parsed)
    }
}
