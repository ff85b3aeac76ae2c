//! The message that is kept and sent: made of a [`Reply`], with what RFC 6147 sections 5.1.4 to 5.4 change in it.
//!
//! It is compressed against the asked name in its place, so that [`super::stored`] can put in the client's way of writing
//! it. Names inside of records are written anew.

use domain::base::message_builder::{RecordSectionBuilder, StaticCompressor};
use domain::base::rdata::{ComposeRecordData, ParseRecordData, UnknownRecordData};
use domain::base::wire::Composer;
use domain::base::{MessageBuilder, Name, Rtype, Ttl};
use domain::rdata::{Aaaa, Cname, Dname, Mb, Md, Mf, Mg, Minfo, Mr, Mx, Naptr, Ns, Ptr, Rp, Soa, Srv};

use super::name::skip_name;
use super::query::u16_at;
use super::response::{Names, Raw, Reply, a, aaaa, data, negative_ttl, raw_data};
use super::settings::Settings;
use super::stored::{OPT_LENGTH, Stored};

/// The time to live of synthesised records when no SOA record limits it, in seconds (RFC 6147 section 5.1.7).
pub const SYNTHESISED_TTL: u32 = 600;

/// What becomes of the records at the end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finals {
    /// They stay.
    Same,
    /// AAAA records that are excluded go, and the signatures over the set that is no longer whole.
    WithoutExcluded,
    /// AAAA records instead of A records, for no longer than so many seconds (RFC 6147 section 5.1.7).
    Synthesised(u32),
    /// None at all.
    Nothing,
}

/// A message to build.
pub(super) struct Build<'a> {
    /// The asked name, in wire form and lower case.
    pub(super) name: &'a [u8],
    pub(super) qtype: u16,
    /// An alias from the asked name to this one comes first (RFC 6147 section 5.3.1).
    pub(super) alias: Option<&'a [u8]>,
    pub(super) finals: Finals,
    pub(super) settings: &'a Settings,
}

impl Build<'_> {
    /// Makes the message; `None` if it does not fit into 65,535 bytes.
    pub(super) fn build(&self, reply: &Reply<'_>) -> Option<Stored> {
        let mut builder = MessageBuilder::from_target(StaticCompressor::new(Vec::with_capacity(512))).ok()?;
        builder.set_push_limit(usize::from(u16::MAX) - OPT_LENGTH);
        let mut question = builder.question();
        question.push((Name::from_slice(self.name).ok()?, Rtype::from_int(self.qtype))).ok()?;
        let question_end = question.as_slice().len();

        let mut answer = question.answer();
        let mut lifetime = self.settings.max_ttl;
        let positive = self.has_finals(reply);
        if !positive {
            lifetime = lifetime.min(reply.negative_ttl.unwrap_or(0));
        }
        let kept = reply.chain.iter().chain(reply.finals.iter().filter(|_| self.finals != Finals::Nothing));
        lifetime = kept.map(|record| self.ttl(record)).fold(lifetime, u32::min);
        if let Some(alias) = self.alias {
            let ttl = Ttl::from_secs(lifetime.min(SYNTHESISED_TTL));
            let alias = Cname::new(Name::from_slice(alias).ok()?);
            answer.push((Name::from_slice(self.name).ok()?, ttl, alias)).ok()?;
        }
        for record in &reply.chain {
            push(&mut answer, record, self.ttl(record))?;
        }
        for record in &reply.finals {
            self.push_final(&mut answer, record)?;
        }
        let answer_end = answer.as_slice().len();

        let mut authority = answer.authority();
        for record in &reply.authority {
            let bound = if positive { u32::MAX } else { negative_ttl(record).unwrap_or(u32::MAX) };
            push(&mut authority, record, self.ttl(record).min(bound))?;
        }
        let authority_end = authority.as_slice().len();

        let mut additional = authority.additional();
        for record in &reply.additional {
            if push(&mut additional, record, self.ttl(record)).is_none() {
                break;
            }
        }
        let counts = additional.counts();
        let counts = [counts.ancount(), counts.nscount(), counts.arcount()];
        let bytes = additional.finish().into_target();
        let limit = match self.finals {
            Finals::Synthesised(cap) => cap,
            _ => u32::MAX,
        };
        Some(Stored {
            ttls: ttl_places(&bytes, question_end)?.into(),
            bytes: bytes.into(),
            counts,
            ends: [question_end, answer_end, authority_end],
            rcode: reply.rcode,
            authentic: reply.authentic
                && self.settings.trust_ad
                && matches!(self.finals, Finals::Same)
                && self.alias.is_none(),
            lifetime: lifetime.min(limit),
        })
    }

    fn has_finals(&self, reply: &Reply<'_>) -> bool {
        match self.finals {
            Finals::Same => !reply.finals.is_empty(),
            Finals::WithoutExcluded => reply.has_usable_aaaa(self.settings),
            Finals::Synthesised(_) => reply.has_usable_a(self.settings),
            Finals::Nothing => false,
        }
    }

    /// The time to live given to clients.
    fn ttl(&self, record: &Raw<'_>) -> u32 {
        record.ttl.clamp(self.settings.min_ttl, self.settings.max_ttl)
    }

    fn push_final<T: Composer>(&self, section: &mut impl RecordSectionBuilder<T>, record: &Raw<'_>) -> Option<()> {
        let settings = self.settings;
        match self.finals {
            Finals::Same => push(section, record, self.ttl(record)),
            Finals::WithoutExcluded => {
                let keep = aaaa(record).is_some_and(|address| settings.is_usable_aaaa(address));
                if keep { push(section, record, self.ttl(record)) } else { Some(()) }
            }
            Finals::Synthesised(cap) => {
                let Some(address) = a(record).filter(|address| settings.is_usable_a(*address)) else { return Some(()) };
                let ttl = Ttl::from_secs(self.ttl(record).min(cap));
                for prefix in &settings.prefixes {
                    section.push((record.owner, ttl, Aaaa::new(prefix.embed(address)))).ok()?;
                }
                Some(())
            }
            Finals::Nothing => Some(()),
        }
    }
}

/// Copies a record; the names in it are written anew, for pointers lead elsewhere now (RFC 3597 section 4).
fn push<T: Composer>(section: &mut impl RecordSectionBuilder<T>, record: &Raw<'_>, ttl: u32) -> Option<()> {
    fn typed<'a, D, T>(section: &mut impl RecordSectionBuilder<T>, record: &Raw<'a>, ttl: u32) -> Option<()>
    where
        D: ParseRecordData<'a, [u8]> + ComposeRecordData,
        T: Composer,
    {
        section.push((record.owner, Ttl::from_secs(ttl), data::<D>(record)?)).ok()
    }
    match record.rtype {
        Rtype::CNAME => typed::<Cname<Names<'_>>, T>(section, record, ttl),
        Rtype::DNAME => typed::<Dname<Names<'_>>, T>(section, record, ttl),
        Rtype::NS => typed::<Ns<Names<'_>>, T>(section, record, ttl),
        Rtype::PTR => typed::<Ptr<Names<'_>>, T>(section, record, ttl),
        Rtype::SOA => typed::<Soa<Names<'_>>, T>(section, record, ttl),
        Rtype::MX => typed::<Mx<Names<'_>>, T>(section, record, ttl),
        Rtype::SRV => typed::<Srv<Names<'_>>, T>(section, record, ttl),
        Rtype::NAPTR => typed::<Naptr<&[u8], Names<'_>>, T>(section, record, ttl),
        Rtype::RP => typed::<Rp<Names<'_>>, T>(section, record, ttl),
        Rtype::MINFO => typed::<Minfo<Names<'_>>, T>(section, record, ttl),
        Rtype::MB => typed::<Mb<Names<'_>>, T>(section, record, ttl),
        Rtype::MD => typed::<Md<Names<'_>>, T>(section, record, ttl),
        Rtype::MF => typed::<Mf<Names<'_>>, T>(section, record, ttl),
        Rtype::MG => typed::<Mg<Names<'_>>, T>(section, record, ttl),
        Rtype::MR => typed::<Mr<Names<'_>>, T>(section, record, ttl),
        other => {
            let data = UnknownRecordData::from_octets(other, raw_data(record)?).ok()?;
            section.push((record.owner, Ttl::from_secs(ttl), data)).ok()
        }
    }
}

/// Where the times to live are in a message whose question ends at `at`.
pub(super) fn ttl_places(message: &[u8], mut at: usize) -> Option<Vec<u16>> {
    let mut places = Vec::new();
    while at < message.len() {
        let fields = skip_name(message, at)?;
        places.push(u16::try_from(fields + 4).ok()?);
        at = fields + 10 + usize::from(u16_at(message, fields + 8)?);
    }
    Some(places)
}
