//! What is at an offset of a message: the kernel tells by it what it does not like.

use core::fmt;

use crate::{
    Attribute, Attributes, Endian,
    attribute::HEADER,
    batch::{FAMILY_HEADER, MESSAGE_HEADER},
    constants::{NFNL_SUBSYS_NFTABLES, NFT_MSG_DELSETELEM, NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM},
    messages,
};

/// NFTA_RULE_EXPRESSIONS, NFTA_SET_EXPR, NFTA_SET_EXPRESSIONS, NFTA_SET_ELEM_LIST_ELEMENTS.
const RULE_EXPRESSIONS: u16 = 4;
const SET_EXPRESSION: u16 = 17;
const SET_EXPRESSIONS: u16 = 18;
const ELEMENTS: u16 = 3;
/// NFTA_EXPR_NAME.
const EXPRESSION_NAME: u16 = 1;

/// A place in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The attribute at the message's top level.
    pub attribute: u16,
    /// In which of the expressions, from 0, and its name.
    pub expression: Option<(usize, String)>,
    /// In which of the elements of this message, from 0.
    pub element: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.expression, self.element) {
            (Some((index, name)), _) => write!(f, "expression {} ({name})", index + 1),
            (None, Some(index)) => write!(f, "element {}", index + 1),
            (None, None) => write!(f, "attribute {}", self.attribute),
        }
    }
}

/// The one that `offset` is in, and its number among them.
fn containing(attributes: Attributes<'_>, offset: usize) -> Option<(usize, Attribute<'_>)> {
    attributes
        .enumerate()
        .find(|(_, attribute)| (attribute.offset..attribute.offset + HEADER + attribute.value.len()).contains(&offset))
}

/// What is at this offset of the message, which begins with its header; none if that is no attribute.
#[must_use]
pub fn locate(endian: Endian, message: &[u8], offset: u32) -> Option<Place> {
    let message = messages(endian, message).next()?.ok()?;
    let offset = usize::try_from(offset).ok()?.checked_sub(MESSAGE_HEADER + FAMILY_HEADER)?;
    let (_, top) = containing(message.attributes(), offset)?;
    let mut place = Place { attribute: top.kind, expression: None, element: None };
    if message.subsystem() != NFNL_SUBSYS_NFTABLES {
        return Some(place);
    }
    let within = || containing(top.nested(), offset.checked_sub(top.offset + HEADER)?);
    match (message.operation(), top.kind) {
        (NFT_MSG_NEWRULE, RULE_EXPRESSIONS) | (NFT_MSG_NEWSET, SET_EXPRESSIONS) => {
            place.expression = within().and_then(|(index, inner)| Some((index, name(&inner)?)));
        }
        (NFT_MSG_NEWSET, SET_EXPRESSION) => place.expression = name(&top).map(|name| (0, name)),
        (NFT_MSG_NEWSETELEM | NFT_MSG_DELSETELEM, ELEMENTS) => place.element = within().map(|(index, _)| index),
        _ => {}
    }
    Some(place)
}

fn name(expression: &Attribute<'_>) -> Option<String> {
    Some(expression.nested().get(EXPRESSION_NAME)?.text())
}

/// The name of the expression at this offset of a message.
#[must_use]
pub fn expression_at(endian: Endian, message: &[u8], offset: u32) -> Option<String> {
    Some(locate(endian, message, offset)?.expression?.1)
}

#[cfg(test)]
mod tests;
