//! What is asked of a value, as comparisons.

use std::borrow::Cow;

use portreeve_nftables::{
    Endian, Expression, Register,
    constants::{NFT_CMP_EQ, NFT_CMP_GT, NFT_CMP_GTE, NFT_CMP_LT, NFT_CMP_LTE, NFT_CMP_NEQ},
};

use super::load::{Source, host_order, load, source, to_host, to_network};
use crate::ruleset::{Selector, Test};

/// The register that tests use.
const VALUE: Register = Register::word(0);

/// Appends the expressions that hold if the selector's value passes the test.
pub(super) fn test<'e>(endian: Endian, selector: Selector, test: &'e Test, expressions: &mut Vec<Expression<'e>>) {
    let mut lower = Lower { endian, selector, width: source(selector).1, expressions };
    match test {
        Test::Equal(value) => lower.equal(NFT_CMP_EQ, value),
        Test::NotEqual(value) => lower.equal(NFT_CMP_NEQ, value),
        Test::Prefix(start) => lower.prefix(NFT_CMP_EQ, start),
        Test::NotPrefix(start) => lower.prefix(NFT_CMP_NEQ, start),
        Test::Range(first, last) if first == last => lower.equal(NFT_CMP_EQ, first),
        Test::NotRange(first, last) if first == last => lower.equal(NFT_CMP_NEQ, first),
        Test::Range(first, last) if lower.prefix_of(first, last).is_some() => {
            let length = lower.prefix_of(first, last).unwrap_or(0);
            lower.prefix(NFT_CMP_EQ, first.get(..length).unwrap_or(first));
        }
        Test::NotRange(first, last) if lower.prefix_of(first, last).is_some() => {
            let length = lower.prefix_of(first, last).unwrap_or(0);
            lower.prefix(NFT_CMP_NEQ, first.get(..length).unwrap_or(first));
        }
        Test::Range(first, last) => {
            lower.ordered();
            lower.compare(NFT_CMP_GTE, lower.fitted(first));
            lower.compare(NFT_CMP_LTE, lower.fitted(last));
        }
        Test::NotRange(first, last) => {
            lower.ordered();
            let (first, last) = (lower.fitted(first), lower.fitted(last));
            lower.expressions.push(Expression::Range { source: VALUE, invert: true, first, last });
        }
        Test::Masked { mask, value, invert } => {
            lower.masked(mask, value, if *invert { NFT_CMP_NEQ } else { NFT_CMP_EQ });
        }
        Test::Any(mask) => lower.bits(mask, &[], NFT_CMP_NEQ),
        Test::None(mask) => lower.bits(mask, &[], NFT_CMP_EQ),
        Test::Below(value) => {
            lower.ordered();
            lower.compare(NFT_CMP_LT, lower.fitted(value));
        }
        Test::Above(value) => {
            lower.ordered();
            lower.compare(NFT_CMP_GT, lower.fitted(value));
        }
    }
}

struct Lower<'a, 'e> {
    endian: Endian,
    selector: Selector,
    width: usize,
    expressions: &'a mut Vec<Expression<'e>>,
}

impl<'e> Lower<'_, 'e> {
    /// Loads the whole value.
    fn whole(&mut self) {
        load(self.endian, self.selector, 0, self.width, self.expressions);
    }

    /// Loads the whole value, so that it compares byte by byte.
    fn ordered(&mut self) {
        self.whole();
        if host_order(self.selector) {
            to_network(0, self.expressions);
        }
    }

    fn compare(&mut self, operation: u32, data: Cow<'e, [u8]>) {
        self.expressions.push(Expression::Compare { source: VALUE, operation, data });
    }

    /// As many bytes as the value has.
    fn fitted(&self, bytes: &'e [u8]) -> Cow<'e, [u8]> {
        if bytes.len() == self.width {
            return Cow::Borrowed(bytes);
        }
        let mut bytes = bytes.to_vec();
        bytes.resize(self.width, 0);
        Cow::Owned(bytes)
    }

    /// The same in the order of the register.
    fn native(&self, bytes: &'e [u8]) -> Cow<'e, [u8]> {
        let bytes = self.fitted(bytes);
        if host_order(self.selector) { Cow::Owned(to_host(self.endian, &bytes)) } else { bytes }
    }

    fn equal(&mut self, operation: u32, value: &'e [u8]) {
        self.whole();
        let mut value = self.native(value);
        if matches!(source(self.selector).0, Source::Fib { .. }) && value.len() != 4 {
            // What is less than a register is followed by zeros there, and nft reads no less of a route.
            value.to_mut().resize(4, 0);
        }
        self.compare(operation, value);
    }

    /// The bytes that all of a range of the packet begin with, if it has all that begin so.
    fn prefix_of(&self, first: &[u8], last: &[u8]) -> Option<usize> {
        let payload = matches!(source(self.selector).0, Source::Payload { .. });
        if !payload || first.len() != self.width || last.len() != self.width {
            return None;
        }
        let same = first.iter().zip(last).take_while(|(first, last)| first == last).count();
        let rest = first.iter().zip(last).skip(same);
        (same > 0 && rest.into_iter().all(|(first, last)| (*first, *last) == (0, 0xff))).then_some(same)
    }

    /// Compares the first bytes only, and of packets loads only those.
    fn prefix(&mut self, operation: u32, start: &'e [u8]) {
        let start = start.get(..self.width).unwrap_or(start);
        if start.is_empty() {
            // Everything begins with nothing: holds of all that have the field, or of none.
            self.whole();
            let operation = if operation == NFT_CMP_EQ { NFT_CMP_GTE } else { NFT_CMP_LT };
            self.compare(operation, Cow::Owned(vec![0; self.width]));
            return;
        }
        load(self.endian, self.selector, 0, start.len(), self.expressions);
        if host_order(self.selector) {
            to_network(0, self.expressions);
        }
        self.compare(operation, Cow::Borrowed(start));
    }

    /// A mask of whole bytes from the first on is a prefix.
    fn masked(&mut self, mask: &'e [u8], value: &'e [u8], operation: u32) {
        let (fitted, of) = (self.fitted(mask), self.fitted(value));
        let ones = fitted.iter().take_while(|&&byte| byte == 0xff).count();
        let whole = fitted.iter().skip(ones).all(|&byte| byte == 0);
        let payload = matches!(source(self.selector).0, Source::Payload { .. });
        let outside = of.iter().zip(&*fitted).any(|(value, mask)| value & !mask != 0);
        match value.get(..ones) {
            Some(start) if whole && payload && ones > 0 && !outside => self.prefix(operation, start),
            _ if whole && ones == self.width => self.equal(operation, value),
            _ => self.bits(mask, value, operation),
        }
    }

    /// Compares the bits of the mask with the value.
    fn bits(&mut self, mask: &'e [u8], value: &'e [u8], operation: u32) {
        self.whole();
        self.expressions.push(Expression::Bitwise {
            source: VALUE,
            destination: VALUE,
            mask: self.native(mask),
            xor: vec![0; self.width].into(),
        });
        self.compare(operation, self.native(value));
    }
}
