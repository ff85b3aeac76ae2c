//! The commands of an `up` line: words, quotes, `$IFACE`, `&&` and `;`, and a redirection into a file.
//!
//! What decides, repeats, pipes or asks other programs is not understood, and the whole line is reported: half of such
//! a line would be something else than the whole.

/// One command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub words: Vec<String>,
    /// The file its output is written to.
    pub to: Option<String>,
}

/// The commands of `line`; `$IFACE` is `interface`. The error says what is not understood.
pub(super) fn commands(line: &str, interface: &str) -> Result<Vec<Command>, &'static str> {
    let mut commands = vec![Command::default()];
    let mut redirect = false;
    let mut fallback = false;
    for token in tokens(line, interface)? {
        let Some(current) = commands.last_mut() else { break };
        match token {
            Token::Then => commands.push(Command::default()),
            Token::Else => {
                fallback = true;
                commands.push(Command::default());
            }
            Token::Into => redirect = true,
            Token::Word(word) if redirect => {
                redirect = false;
                if word != "/dev/null" {
                    current.to = Some(word);
                }
            }
            Token::Word(word) => current.words.push(word),
        }
        if fallback && commands.last().and_then(|c| c.words.first()).is_some() {
            fallback = false;
            let harmless = ["true", ":", "exit", "/bin/true", "echo"];
            match commands.pop().and_then(|c| c.words.into_iter().next()) {
                Some(word) if harmless.contains(&word.as_str()) => commands.push(Command::default()),
                _ => return Err("it has an alternative (`||`)"),
            }
        }
    }
    commands
        .retain(|command| !command.words.is_empty() && command.words.iter().any(|word| word.parse::<u8>().is_err()));
    let decides = ["if", "for", "while", "case", "test", "[", "[[", "!", "until"];
    if commands.iter().any(|c| c.words.first().is_some_and(|word| decides.contains(&word.as_str()))) {
        return Err("it decides or repeats");
    }
    Ok(commands)
}

#[derive(Debug)]
enum Token {
    Word(String),
    Then,
    Else,
    Into,
}

fn tokens(line: &str, interface: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(q)) if c == q => quote = None,
            ('$' | '`', None | Some('"')) => {
                let mut name = String::new();
                while let Some(next) = chars.next_if(|n| n.is_ascii_alphanumeric() || matches!(n, '_' | '{' | '}')) {
                    name.push(next);
                }
                if c == '`' || !matches!(name.as_str(), "IFACE" | "{IFACE}") {
                    return Err("it asks the shell for something (`$`)");
                }
                word.get_or_insert_default().push_str(interface);
            }
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('|' | '&' | ';' | '>', None) => {
                let doubled = chars.next_if_eq(&c).is_some();
                // `2>` and `1>` are redirections, too.
                let descriptor = c == '>' && word.as_deref().is_some_and(|w| matches!(w, "1" | "2"));
                let finished = word.take().filter(|_| !descriptor);
                tokens.extend(finished.map(Token::Word));
                match (c, doubled) {
                    ('|', false) => return Err("it pipes one program into another"),
                    ('|', true) => tokens.push(Token::Else),
                    ('>', _) if chars.next_if_eq(&'&').is_some() => drop(chars.next()),
                    ('>', _) => tokens.push(Token::Into),
                    ('&', false) if chars.peek() == Some(&'>') => {}
                    _ => tokens.push(Token::Then),
                }
            }
            ('(' | ')' | '<' | '*', None) => return Err("it needs a shell"),
            (c, None) if c.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    if quote.is_some() { Err("a quote is not closed") } else { Ok(tokens) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        commands(line, "eth0").unwrap().iter().map(|c| c.words.join(" ")).collect()
    }

    #[test]
    fn lines_are_taken_apart_as_a_shell_does() {
        assert_eq!(
            words("ip link set $IFACE up && ip addr add \"10.0.0.1/8\" dev ${IFACE} || true"),
            ["ip link set eth0 up", "ip addr add 10.0.0.1/8 dev eth0"]
        );
        assert_eq!(words("modprobe ipv6 2>/dev/null >/dev/null 2>&1; true"), ["modprobe ipv6", "true"]);
        let echo = commands("echo 1 > /proc/sys/net/ipv4/ip_forward", "eth0").unwrap();
        assert_eq!(echo[0].to.as_deref(), Some("/proc/sys/net/ipv4/ip_forward"));
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        for line in ["ip route | grep x", "[ -e /x ] && ip link", "a=$(b)", "foo || bar", "if true; then x; fi"] {
            assert!(commands(line, "eth0").is_err(), "{line}");
        }
    }
}
