//! RON as a person would write it: what is short stands in one line, what has comments or many fields is spread out.

/// Columns that a line may have.
const WIDTH: usize = 120;
/// Columns that a comment is filled to.
const COMMENT: usize = 110;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Anything without parts.
    Text(String),
    /// Something with parts.
    Group {
        /// What opens it: `(`, `[`, `{`, or with a name, `Bridge(`.
        open: String,
        /// Its parts.
        items: Vec<Item>,
        /// One line for each part, even if one were enough for all.
        spread: bool,
    },
}

/// A part of a group, with the lines of comment above it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub comments: Vec<String>,
    /// Nothing in a list.
    pub key: String,
    pub node: Node,
}

impl Node {
    /// A group that fills one line if it can.
    pub fn group(open: impl Into<String>, items: Vec<Item>) -> Self {
        Self::Group { open: open.into(), items, spread: false }
    }

    /// A list of values.
    pub fn list(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self::group(
            "[",
            nodes.into_iter().map(|node| Item { comments: Vec::new(), key: String::new(), node }).collect(),
        )
    }

    /// Text in quotes.
    pub fn string(text: &str) -> Self {
        Self::Text(quoted(text))
    }
}

/// A field.
pub(super) fn field(name: &str, node: Node) -> Item {
    Item { comments: Vec::new(), key: name.to_owned(), node }
}

/// Comments that stand for themselves, where there is nothing below them to belong to.
pub(super) fn remark(comments: Vec<String>) -> Item {
    Item { comments, key: String::new(), node: Node::Text(String::new()) }
}

/// A field of RON text.
pub(super) fn text(name: &str, value: impl ToString) -> Item {
    field(name, Node::Text(value.to_string()))
}

/// `text` in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Writes `item` and a comma, each line indented by `depth` steps.
pub(super) fn write(item: &Item, depth: usize, out: &mut String) {
    comments(&item.comments, depth, out);
    if item.key.is_empty() && matches!(&item.node, Node::Text(text) if text.is_empty()) {
        return;
    }
    let indent = "    ".repeat(depth);
    let key = if item.key.is_empty() { String::new() } else { format!("{}: ", item.key) };
    if let Some(line) = inline(&item.node).filter(|line| indent.len() + key.len() + line.chars().count() < WIDTH) {
        out.push_str(&format!("{indent}{key}{line},\n"));
    } else if let Node::Group { open, items, .. } = &item.node {
        out.push_str(&format!("{indent}{key}{open}\n"));
        for item in items {
            write(item, depth + 1, out);
        }
        out.push_str(&format!("{indent}{},\n", close(open)));
    } else if let Node::Text(text) = &item.node {
        out.push_str(&format!("{indent}{key}{text},\n"));
    }
}

/// The node in one line, unless it has to be spread out.
fn inline(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.clone()),
        Node::Group { spread: true, .. } => None,
        Node::Group { open, items, .. } => {
            let mut parts = Vec::new();
            for item in items {
                if !item.comments.is_empty() {
                    return None;
                }
                let value = inline(&item.node)?;
                parts.push(if item.key.is_empty() { value } else { format!("{}: {value}", item.key) });
            }
            let inside = parts.join(", ");
            Some(format!("{open}{inside}{}", close(open)))
        }
    }
}

fn close(open: &str) -> char {
    match open.chars().last() {
        Some('[') => ']',
        Some('{') => '}',
        _ => ')',
    }
}

/// Writes comments, each filled into lines.
pub(super) fn comments(comments: &[String], depth: usize, out: &mut String) {
    let indent = "    ".repeat(depth);
    for comment in comments {
        let mut line = format!("{indent}//");
        for word in comment.split_whitespace() {
            if line.chars().count() + word.chars().count() >= COMMENT && !line.ends_with("//") {
                out.push_str(&line);
                out.push('\n');
                line = format!("{indent}//  ");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
}
