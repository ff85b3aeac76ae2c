//! Lines to tables, chains and rules: words with quotes, `-A`, `-I`, `-N`, `-P`, and the order that results.

use super::plan::Plan;

/// The tables of the kernel, in the order in which packets see them.
pub(super) const TABLES: [(&str, &[&str]); 5] = [
    ("raw", &["PREROUTING", "OUTPUT"]),
    ("mangle", &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("security", &["INPUT", "FORWARD", "OUTPUT"]),
];

/// A rule as it was written.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub number: usize,
    /// Without `-A CHAIN`.
    pub words: Vec<String>,
    /// For messages.
    pub text: String,
}

#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub name: String,
    /// Where it is declared.
    pub line: usize,
    /// Only of built-in chains: what no rule decides is dropped.
    pub drops: bool,
    pub rules: Vec<Line>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub name: &'static str,
    builtin: &'static [&'static str],
    pub chains: Vec<Chain>,
}

impl Table {
    pub fn is_builtin(&self, chain: &str) -> bool {
        self.builtin.contains(&chain)
    }

    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    fn chain_mut(&mut self, name: &str) -> Option<&mut Chain> {
        self.chains.iter_mut().find(|chain| chain.name == name)
    }

    /// The chains that people made, in the order of the file.
    pub fn own(&self) -> impl Iterator<Item = &Chain> {
        self.chains.iter().filter(|chain| !self.is_builtin(&chain.name))
    }
}

/// All that the file says.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub tables: Vec<Table>,
}

impl Saved {
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The table of that name, made with its built-in chains if it is not there.
    fn make(&mut self, name: &str, line: usize) -> Option<&mut Table> {
        let &(name, builtin) = TABLES.iter().find(|(known, _)| *known == name)?;
        let at = self.tables.iter().position(|table| table.name == name).unwrap_or_else(|| {
            let made = |name: &&str| Chain { name: (*name).into(), line, drops: false, rules: Vec::new() };
            let chains = builtin.iter().map(made).collect();
            self.tables.push(Table { name, builtin, chains });
            self.tables.len() - 1
        });
        self.tables.get_mut(at)
    }
}

/// Reads the whole file; what cannot be understood goes to the plan's mistakes.
pub(super) fn read(text: &str, plan: &mut Plan) -> Saved {
    let mut saved = Saved::default();
    let mut open: Option<&'static str> = None;
    let mut counted = None;
    for (number, whole) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        if whole.is_empty() || whole.starts_with('#') {
            continue;
        }
        let done = split(whole).and_then(|words| line(&mut saved, &mut open, number, whole, words, plan));
        match done {
            Ok(true) => counted = counted.or(Some(number)),
            Ok(false) => {}
            Err(message) => plan.mistake(number, message),
        }
    }
    if let Some(table) = open {
        let last = text.lines().count();
        plan.mistake(last, format!("the table `{table}` has no end; the file was cut off, or add a line `COMMIT`"));
    }
    if let Some(number) = counted {
        plan.info(number, "counters such as [packets:bytes] begin at 0 again; this is said once for all lines");
    }
    saved
}

/// One line; true if it has counters that counted.
fn line(
    saved: &mut Saved,
    open: &mut Option<&'static str>,
    number: usize,
    text: &str,
    words: Vec<String>,
    plan: &Plan,
) -> Result<bool, String> {
    let mut words = words;
    let Some(first) = words.first().cloned() else { return Ok(false) };
    if let Some(name) = first.strip_prefix('*') {
        let table = saved.make(name, number).ok_or_else(|| no_table(name))?;
        *open = Some(table.name);
        return Ok(false);
    }
    if first == "COMMIT" {
        return open.take().map(|_| false).ok_or_else(|| "`COMMIT` ends no table; remove it".into());
    }
    if first.starts_with(':') {
        let table = open.and_then(|name| saved.make(name, number));
        return declare(table.ok_or("a chain stands in no table; put `*filter` above it")?, number, &words);
    }
    let mut counted = false;
    if first.starts_with('[') {
        counted = counts(&first)?;
        words.remove(0);
    }
    let mut name = open.unwrap_or("filter");
    if let Some(program) = words.first().and_then(|word| program(word)) {
        if program != plan.family.program() {
            return Err(format!("this is a line of {program}; import it with `portreeve import {program} FILE`"));
        }
        words.remove(0);
    }
    let said = words.iter().position(|word| word == "-t" || word == "--table").filter(|_| open.is_none());
    if let Some(at) = said {
        let wanted = words.get(at + 1).ok_or("`-t` names no table; write one behind it")?;
        name = TABLES.iter().find(|(known, _)| known == wanted).ok_or_else(|| no_table(wanted))?.0;
        words.drain(at..at + 2);
    }
    let table = saved.make(name, number).ok_or_else(|| no_table(name))?;
    command(table, number, text, words)?;
    Ok(counted)
}

fn no_table(name: &str) -> String {
    format!("there is no table `{name}`; it is one of filter, nat, mangle, raw and security")
}

fn program(word: &str) -> Option<&'static str> {
    match word.rsplit('/').next()? {
        "iptables" => Some("iptables"),
        "ip6tables" => Some("ip6tables"),
        _ => None,
    }
}

/// `:NAME POLICY [packets:bytes]`.
fn declare(table: &mut Table, number: usize, words: &[String]) -> Result<bool, String> {
    let name = words.first().map(|word| word.trim_start_matches(':')).unwrap_or_default();
    if name.is_empty() {
        return Err("`:` names no chain; write `:NAME POLICY`".into());
    }
    let policy = words.get(1).ok_or_else(|| format!("chain `{name}` has no policy; write ACCEPT, DROP or `-`"))?;
    let counted = words.get(2).map_or(Ok(false), |word| counts(word))?;
    if policy == "-" {
        make(table, name, number)?;
    } else {
        set_policy(table, name, policy, number)?;
    }
    Ok(counted)
}

fn make(table: &mut Table, name: &str, number: usize) -> Result<(), String> {
    if table.is_builtin(name) {
        return Err(format!("`{name}` is a chain of the kernel; it needs a policy, ACCEPT or DROP"));
    }
    if table.chain(name).is_none() {
        table.chains.push(Chain { name: name.to_owned(), line: number, drops: false, rules: Vec::new() });
    }
    Ok(())
}

fn set_policy(table: &mut Table, name: &str, policy: &str, number: usize) -> Result<(), String> {
    let builtin = table.is_builtin(name);
    let table_name = table.name;
    let chain = table.chain_mut(name).filter(|_| builtin).ok_or_else(|| {
        format!("`{name}` is no chain of the kernel in table {table_name}, and only these have a policy; write `-`")
    })?;
    chain.line = number;
    chain.drops = match policy {
        "ACCEPT" => false,
        "DROP" => true,
        other => return Err(format!("`{other}` is no policy; write ACCEPT or DROP")),
    };
    Ok(())
}

/// Whether `[packets:bytes]` counted anything.
fn counts(word: &str) -> Result<bool, String> {
    let inside = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    let numbers = inside.and_then(|inside| inside.split_once(':'));
    let parsed = numbers.and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
    parsed.map(|counted| counted != (0, 0)).ok_or_else(|| format!("`{word}` are no counters; write [packets:bytes]"))
}

/// `-A CHAIN …` and its like. The command need not be the first word: `-w -A INPUT` is one, too.
fn command(table: &mut Table, number: usize, text: &str, words: Vec<String>) -> Result<(), String> {
    let mut words = words;
    let at = words.iter().position(|word| command_of(word).is_some());
    let at = at.ok_or_else(|| {
        format!("`{}` is none of -A, -I, -N, -P; correct or remove this line", words.first().map_or("", |word| word))
    })?;
    let mut rest = words.split_off(at).into_iter();
    let command = rest.next().as_deref().and_then(command_of).unwrap_or_default();
    words.retain(|word| !matches!(word.as_str(), "-w" | "--wait"));
    let name = rest.next().unwrap_or_default();
    if name.is_empty() && !matches!(command, 'F' | 'X' | 'Z') {
        return Err(format!("`-{command}` names no chain; write one behind it"));
    }
    let mut rest: Vec<String> = rest.collect();
    match command {
        'N' => return make(table, &name, number),
        'P' => {
            let policy = rest.first().ok_or_else(|| format!("chain `{name}` gets no policy; write ACCEPT or DROP"))?;
            return set_policy(table, &name, policy, number);
        }
        'F' => {
            let flushed = |chain: &&mut Chain| name.is_empty() || chain.name == name;
            table.chains.iter_mut().filter(flushed).for_each(|chain| chain.rules.clear());
            return Ok(());
        }
        // Nobody refers to a chain that may be deleted, and counters begin at 0 anyway.
        'X' | 'Z' => return Ok(()),
        'D' | 'R' | 'E' => {
            return Err(format!("`-{command}` changes what stands before it; import what {} prints", "iptables-save"));
        }
        _ => {}
    }
    let table_name = table.name;
    let chain = table.chain_mut(&name).ok_or_else(|| {
        format!("there is no chain `{name}` in table {table_name}; declare it above with `:{name} - [0:0]`")
    })?;
    let mut place = chain.rules.len();
    if command == 'I' {
        let wanted = rest.first().and_then(|word| word.parse::<usize>().ok());
        if wanted.is_some() {
            rest.remove(0);
        }
        place = wanted.unwrap_or(1).checked_sub(1).ok_or("rules are counted from 1; write another number")?;
        if place > chain.rules.len() {
            return Err(format!("chain `{name}` has only {} rules; write a smaller number", chain.rules.len()));
        }
    }
    // What stood before the command belongs to the rule as well.
    words.append(&mut rest);
    chain.rules.insert(place, Line { number, words, text: text.to_owned() });
    Ok(())
}

fn command_of(word: &str) -> Option<char> {
    Some(match word {
        "-A" | "--append" => 'A',
        "-I" | "--insert" => 'I',
        "-N" | "--new-chain" | "--new" => 'N',
        "-P" | "--policy" => 'P',
        "-F" | "--flush" => 'F',
        "-X" | "--delete-chain" => 'X',
        "-Z" | "--zero" => 'Z',
        "-D" | "--delete" => 'D',
        "-R" | "--replace" => 'R',
        "-E" | "--rename-chain" => 'E',
        _ => return None,
    })
}

/// Words; in double quotes they may have spaces, and a backslash keeps the next character.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = characters.next().ok_or("a backslash stands at the end; remove it")?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a quote is not closed; add {quote} at its end"));
    }
    words.extend(word);
    Ok(words)
}
