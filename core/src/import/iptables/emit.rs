//! The plan as a `router.ron` with the section of the plugin `firewall`.

use super::super::ron::{Item, Node, comments, field, quoted, remark, text, write};
use super::Family;
use super::plan::{Entry, Field, Matches, Plan, Rule, Value};

/// Writes all of it.
pub(super) fn emit(plan: &Plan) -> String {
    let family = plan.family;
    let hook = |name: &str, entries: &[Entry]| {
        let items = vec![text("policy", "Accept"), field("rules", rules(entries, family))];
        field(name, Node::Group { open: "(".into(), items, spread: !entries.is_empty() })
    };
    let mut section = vec![hook("input", &plan.input), hook("forward", &plan.forward), hook("output", &plan.output)];
    if !plan.prerouting.is_empty() {
        section.push(field("prerouting", rules(&plan.prerouting, family)));
    }
    if !plan.chains.is_empty() {
        let chain = |(name, entries): &(String, Vec<Entry>)| field(&quoted(name), rules(entries, family));
        section.push(field("chains", spread("{", plan.chains.iter().map(chain).collect())));
    }
    if !plan.nat.is_empty() {
        section.push(field("nat", rules(&plan.nat, family)));
    }
    let off = ["stateful", "loopback", "rfc4890", "rfc6092", "ping", "dhcp_client"].map(|name| text(name, false));
    section.push(field("defaults", Node::group("(", off.into())));
    section.push(text("guard", true));

    let file = plan.file().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut out = format!("// Imported from {file}; look at what stands in comments before it is put in force.\n");
    out.push_str("Router(\n    plugins: {\n");
    comments(&plan.comments, 2, &mut out);
    out.push_str("        \"firewall\": (config: (\n");
    for item in &section {
        write(item, 3, &mut out);
    }
    out.push_str("        )),\n    },\n)\n");
    out
}

fn spread(open: &str, items: Vec<Item>) -> Node {
    Node::Group { open: open.into(), items, spread: true }
}

fn rules(entries: &[Entry], family: Family) -> Node {
    if entries.is_empty() {
        return Node::list([]);
    }
    let item = |entry: &Entry| match entry {
        Entry::Comment(text) => remark(vec![text.clone()]),
        Entry::Rule(rule) => self::rule(rule, family),
    };
    spread("[", entries.iter().map(item).collect())
}

fn rule(rule: &Rule, family: Family) -> Item {
    let mut items = Vec::new();
    items.extend(rule.name.as_ref().map(|name| text("name", quoted(name))));
    items.push(text("family", family.ron()));
    if rule.from_router {
        items.push(field("from", Node::list([Node::string("router")])));
    }
    if rule.to_anywhere {
        items.push(field("to", Node::list([Node::string("*")])));
    }
    items.extend(rule.matches.0.iter().filter_map(|(field, value)| condition(*field, value, &rule.matches)));
    items.extend(rule.log.as_ref().map(|log| text("log", log)));
    items.extend(rule.set_mark.as_ref().map(|mark| text("set_mark", mark)));
    items.push(text("then", &rule.then));
    Item { comments: rule.comments.clone(), key: String::new(), node: Node::group("(", items) }
}

fn condition(which: Field, value: &Value, all: &Matches) -> Option<Item> {
    // Kinds of ICMP say the protocol.
    if which == Field::Protocol && all.0.contains_key(&Field::Icmp) {
        return None;
    }
    let name = match which {
        Field::Incoming => "incoming",
        Field::Outgoing => "outgoing",
        Field::Source => "source",
        Field::Destination => "destination",
        Field::Protocol => "protocol",
        Field::SourcePort => "source_port",
        Field::DestinationPort => "destination_port",
        Field::Icmp => "icmp",
        Field::States => "states",
        Field::TcpFlags => "tcp_flags",
        Field::Mark => "mark",
        Field::SourceMac => "source_mac",
        Field::HopLimit => "hop_limit",
        Field::LaterFragments => "later_fragments",
        Field::Translated => "translated",
        Field::Limit => "limit",
        Field::Connections => "connections",
    };
    Some(match value {
        Value::Text(ron) => text(name, ron),
        Value::List { negated, items } if which == Field::States => {
            let name = if *negated { "not_states" } else { name };
            field(name, Node::list(items.iter().map(|item| Node::Text(item.clone()))))
        }
        Value::List { negated, items } => {
            let sign = if *negated { "!" } else { "" };
            field(name, Node::list(items.iter().map(|item| Node::string(&format!("{sign}{item}")))))
        }
    })
}
