//! The part of the comparison on links: renaming, making, changing, removing, settings.

use std::collections::{HashMap, HashSet};

use portreeve_network::{Kind, Link};

use super::{Diff, Input, Links, Place, tag};
use crate::sys::network::{Change, FoundLink};

/// Kinds whose settings the kernel changes in place.
fn is_changeable(old: &Kind, new: &Kind) -> bool {
    match (old, new) {
        // A 6rd tunnel and a point-to-point one are not made from each other.
        (Kind::SixRd(_), _) | (_, Kind::SixRd(_)) => false,
        (Kind::Macvlan(a), Kind::Macvlan(b)) => a.parent == b.parent,
        (Kind::Bridge(_), Kind::Bridge(_))
        | (Kind::Sit(_), Kind::Sit(_))
        | (Kind::Ip6Tunnel(_), Kind::Ip6Tunnel(_))
        | (Kind::Gre(_), Kind::Gre(_))
        | (Kind::WireGuard(_), Kind::WireGuard(_)) => old.name() == new.name(),
        _ => false,
    }
}

impl<'a> Input<'a> {
    /// Renames, removes and makes links; gives those that will be there.
    pub(super) fn links(&self, diff: &mut Diff) -> Links<'a> {
        let tag = tag(self.owner);
        let mut links = Links {
            by_name: self.found.links.iter().map(|link| (link.name.as_str(), link)).collect(),
            fresh: HashSet::new(),
            renamed: HashMap::new(),
            blocked: HashSet::new(),
        };
        let wanted: HashMap<&str, &Link> =
            self.wanted.links.iter().filter(|l| l.make.is_some()).map(|l| (l.name.as_str(), l)).collect();
        let peers: HashSet<&str> = wanted.values().filter_map(|link| peer(link)).collect();

        // By the tag and not by the record: what a lost record had made goes, too.
        let mut goes = HashSet::new();
        for link in self.found.links.iter().filter(|link| link.alias.as_deref() == Some(&tag)) {
            let name = link.name.as_str();
            if !wanted.contains_key(name) && !peers.contains(name) && goes.insert(name) {
                // The other end of a pair goes with the first: it is gone then, which is as it should be.
                diff.changes.push(Change::RemoveLink { index: link.index, name: link.name.clone() });
                links.by_name.remove(name);
            }
        }
        for name in self.record.links.keys().filter(|name| !wanted.contains_key(name.as_str())) {
            if !goes.contains(name.as_str()) {
                // Gone already, or no longer ours.
                let gone = name.clone();
                diff.note(move |record| drop(record.links.remove(&gone)));
            }
        }
        self.rename(&mut links, diff);
        for link in &self.wanted.links {
            match &link.make {
                Some(kind) => self.make(link, kind, &tag, &mut links, diff),
                None if !links.by_name.contains_key(link.name.as_str())
                    && !links.fresh.contains(link.name.as_str()) =>
                {
                    diff.waiting.insert(link.name.clone());
                }
                None => {}
            }
        }
        links
    }

    fn rename(&self, links: &mut Links<'a>, diff: &mut Diff) {
        for link in &self.wanted.links {
            let Some(index) = link.index else { continue };
            let Some(there) = self.found.links.iter().find(|found| found.index == index) else {
                diff.waiting.insert(link.name.clone());
                continue;
            };
            if there.name == link.name {
                continue;
            }
            if !(self.permit.configure)(&there.name) {
                let text = format!("{} may not be changed", there.name);
                diff.refuse(format!("link {}", link.name), libc::EPERM, text);
                links.blocked.insert(&link.name);
                continue;
            }
            // Two that change names: the other one steps aside first.
            let holder = links.by_name.get(link.name.as_str()).copied();
            let moves = |holder: &&FoundLink| {
                self.wanted.links.iter().any(|l| l.index == Some(holder.index) && l.name != link.name)
            };
            if let Some(holder) = holder.filter(moves) {
                let aside = format!("ptr{}", holder.index);
                diff.changes.push(Change::RenameLink { index: holder.index, name: aside, up: holder.up });
                links.by_name.remove(link.name.as_str());
            } else if holder.is_some() {
                let text = format!("{} should get this name, but another link has it", there.name);
                diff.refuse(format!("link {}", link.name), libc::EEXIST, text);
                links.blocked.insert(&link.name);
                continue;
            }
            diff.changes.push(Change::RenameLink { index, name: link.name.clone(), up: there.up });
            if links.by_name.get(there.name.as_str()).is_some_and(|held| held.index == index) {
                links.by_name.remove(there.name.as_str());
            }
            links.renamed.insert(&there.name, there);
            links.by_name.insert(&link.name, there);
        }
    }

    fn make(&self, link: &'a Link, kind: &'a Kind, tag: &str, links: &mut Links<'a>, diff: &mut Diff) {
        if let Some(reason) = self.permit.forbidden.get(&link.name) {
            diff.refuse(format!("link {}", link.name), libc::EPERM, reason.clone());
            links.blocked.insert(&link.name);
            return;
        }
        let is_others = |name: &&str| links.by_name.get(name).is_some_and(|l| l.alias.as_deref() != Some(tag));
        if let Some(peer) = peer(link).filter(is_others) {
            let text = format!("there is a link {peer} already, which was not made for it");
            diff.refuse(format!("link {}", link.name), libc::EEXIST, text);
            links.blocked.extend([link.name.as_str(), peer]);
            return;
        }
        if let Some(parent) = parent(kind) {
            if matches!(links.place(parent), Place::Fresh) {
                // It went with the one it stood on.
                links.by_name.remove(link.name.as_str());
            }
            match links.place(parent) {
                Place::Absent => {
                    diff.waiting.insert(parent.to_owned());
                    links.blocked.insert(&link.name);
                    return;
                }
                Place::Blocked => {
                    links.blocked.insert(&link.name);
                    return;
                }
                Place::There(_) | Place::Fresh => {}
            }
        }
        let make = Change::MakeLink { name: link.name.clone(), kind: kind.clone(), alias: tag.to_owned() };
        let Some(there) = links.by_name.get(link.name.as_str()).copied() else {
            diff.changes.push(make);
            links.fresh.insert(&link.name);
            links.fresh.extend(peer(link));
            return;
        };
        // The core ended between making and tagging it: it is made anew.
        let is_begun = |begun: &Kind| there.alias.is_none() && there.kind.as_deref() == Some(begun.name());
        if self.record.begun.get(&link.name).is_some_and(is_begun) && !self.record.links.contains_key(&link.name) {
            diff.changes.push(Change::RemoveLink { index: there.index, name: link.name.clone() });
            diff.changes.push(make);
            links.by_name.remove(link.name.as_str());
            links.fresh.insert(&link.name);
            links.fresh.extend(peer(link));
            return;
        }
        let is_ours = there.alias.as_deref() == Some(tag) && there.kind.as_deref() == Some(kind.name());
        if !is_ours && there.alias.as_deref() != Some(tag) {
            let text = match there.alias.as_deref().and_then(|alias| alias.strip_prefix("portreeve:")) {
                Some(other) => format!("plugin {other} has made a link of this name"),
                None => "there is a link of this name that Portreeve did not make; remove it, or choose another name"
                    .to_owned(),
            };
            diff.refuse(format!("link {}", link.name), libc::EEXIST, text);
            links.blocked.insert(&link.name);
            return;
        }
        match self.record.links.get(&link.name) {
            Some(known) if is_ours && known == kind => {}
            Some(known) if is_ours && is_changeable(known, kind) => {
                diff.changes.push(Change::ChangeLink { name: link.name.clone(), kind: kind.clone() });
            }
            // The record is lost: where the kernel cannot be told again, the link is taken as it is.
            None if is_ours => {
                if is_changeable(kind, kind) {
                    diff.changes.push(Change::ChangeLink { name: link.name.clone(), kind: kind.clone() });
                } else {
                    let (name, kind) = (link.name.clone(), kind.clone());
                    diff.note(move |record| drop(record.links.insert(name, kind)));
                }
            }
            _ => {
                diff.changes.push(Change::RemoveLink { index: there.index, name: link.name.clone() });
                diff.changes.push(make);
                links.by_name.remove(link.name.as_str());
                links.fresh.insert(&link.name);
                if let Some(peer) = peer(link) {
                    links.by_name.remove(peer);
                    links.fresh.insert(peer);
                }
            }
        }
    }

    /// MTU, MAC, controller, up and down.
    pub(super) fn link_settings(&self, links: &Links<'_>, diff: &mut Diff) {
        for link in &self.wanted.links {
            match links.place(&link.name) {
                Place::Fresh => self.settings_of_fresh(link, links, diff),
                Place::There(there) => self.settings_of_present(link, there, links, diff),
                Place::Absent | Place::Blocked => {}
            }
        }
        self.restore(links, diff);
    }

    fn settings_of_fresh(&self, link: &Link, links: &Links<'_>, diff: &mut Diff) {
        let controller = self.controller(link, links, diff);
        // A port of a bond may not be up when it joins.
        let first = controller.is_some() && link.up == Some(true);
        if let Some(given) = controller.clone() {
            let name = link.name.clone();
            diff.note(move |record| record.before.entry(name).or_default().given_controller = Some(given));
        }
        let set = |up, mtu, mac, controller| Change::SetLink { name: link.name.clone(), up, mtu, mac, controller };
        if first || link.mtu.is_some() || link.mac.is_some() || controller.is_some() {
            diff.changes.push(set(None, link.mtu, link.mac.clone(), controller.map(Some)));
        }
        if link.up == Some(true) {
            diff.changes.push(set(Some(true), None, None, None));
        }
    }

    fn settings_of_present(&self, link: &Link, there: &FoundLink, links: &Links<'_>, diff: &mut Diff) {
        let renamed = there.name != link.name;
        let mtu = link.mtu.filter(|mtu| *mtu != there.mtu);
        let mac = link.mac.clone().filter(|mac| *mac != there.mac);
        let controller = self.controller(link, links, diff).filter(|name| match links.place(name) {
            Place::There(controller) => there.controller != Some(controller.index),
            _ => true,
        });
        let is_bond = |name: &String| {
            let makes = |l: &&Link| l.name == *name && matches!(l.make, Some(Kind::Bond(_)));
            let is = |there: &FoundLink| there.kind.as_deref() == Some("bond");
            self.wanted.links.iter().any(|l| makes(&l)) || matches!(links.place(name), Place::There(l) if is(l))
        };
        let set = |up, mtu, mac, controller| Change::SetLink { name: link.name.clone(), up, mtu, mac, controller };
        let mut is_up = there.up && !renamed;
        if controller.as_ref().is_some_and(is_bond) && is_up {
            diff.changes.push(set(Some(false), None, None, None));
            is_up = false;
        }
        let given = controller.clone();
        if mtu.is_some() || mac.is_some() || controller.is_some() {
            diff.changes.push(set(None, mtu, mac.clone(), controller.map(Some)));
            let (name, old_mtu, old_mac) = (link.name.clone(), there.mtu, there.mac.clone());
            diff.note(move |record| {
                let before = record.before.entry(name).or_default();
                before.mtu = before.mtu.or(mtu.map(|_| old_mtu));
                before.set_mtu = mtu.or(before.set_mtu);
                before.mac = before.mac.take().or(mac.as_ref().map(|_| old_mac));
                before.set_mac = mac.or(before.set_mac.take());
                before.given_controller = given.or(before.given_controller.take());
            });
        }
        // A link that went down to be renamed or to join a bond comes up again, unless it shall be down.
        let up = link.up.or((there.up && !is_up).then_some(true));
        if let Some(up) = up.filter(|up| *up != is_up) {
            diff.changes.push(set(Some(up), None, None, None));
        }
    }

    /// The controller that a link shall have, if it is there.
    fn controller(&self, link: &Link, links: &Links<'_>, diff: &mut Diff) -> Option<String> {
        let name = link.controller.as_ref()?;
        match links.place(name) {
            Place::There(_) | Place::Fresh => Some(name.clone()),
            Place::Absent => {
                diff.waiting.insert(name.clone());
                None
            }
            Place::Blocked => None,
        }
    }

    /// Puts back what was changed of others' links and is no longer stated.
    fn restore(&self, links: &Links<'_>, diff: &mut Diff) {
        let wanted: HashMap<&str, &Link> = self.wanted.links.iter().map(|l| (l.name.as_str(), l)).collect();
        for (name, before) in &self.record.before {
            let link = wanted.get(name.as_str());
            let mtu = before.mtu.filter(|_| link.is_none_or(|l| l.mtu.is_none()));
            let mac = before.mac.clone().filter(|_| link.is_none_or(|l| l.mac.is_none()));
            let leaves = before.given_controller.as_ref().filter(|_| link.is_none_or(|l| l.controller.is_none()));
            if mtu.is_none() && mac.is_none() && leaves.is_none() {
                continue;
            }
            if let Place::There(there) = links.place(name) {
                let is_given = |controller: &String| match links.place(controller) {
                    Place::There(c) => there.controller == Some(c.index),
                    _ => false,
                };
                let controller = leaves.filter(|c| is_given(c)).map(|_| None);
                // Only what is still as it was set: what somebody changed since is theirs.
                let mtu = mtu.filter(|mtu| *mtu != there.mtu && before.set_mtu == Some(there.mtu));
                let mac = mac.clone().filter(|mac| *mac != there.mac && before.set_mac.as_ref() == Some(&there.mac));
                if mtu.is_some() || mac.is_some() || controller.is_some() {
                    diff.changes.push(Change::SetLink { name: name.clone(), up: None, mtu, mac, controller });
                }
            }
            let (name, mtu, mac, leaves) = (name.clone(), mtu.is_some(), mac.is_some(), leaves.is_some());
            diff.bookkeeping.push(Box::new(move |record| {
                let Some(before) = record.before.get_mut(&name) else { return };
                before.mtu = before.mtu.filter(|_| !mtu);
                before.set_mtu = before.set_mtu.filter(|_| !mtu);
                before.mac = before.mac.take().filter(|_| !mac);
                before.set_mac = before.set_mac.take().filter(|_| !mac);
                before.given_controller = before.given_controller.take().filter(|_| !leaves);
                if *before == super::super::record::Before::default() {
                    record.before.remove(&name);
                }
            }));
        }
    }
}

fn peer(link: &Link) -> Option<&str> {
    match &link.make {
        Some(Kind::Veth(veth)) => Some(&veth.peer),
        _ => None,
    }
}

fn parent(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Vlan(vlan) => Some(&vlan.parent),
        Kind::Macvlan(macvlan) => Some(&macvlan.parent),
        _ => None,
    }
}
