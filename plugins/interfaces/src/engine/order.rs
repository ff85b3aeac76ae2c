//! The order of links: makers before what they make, links before what stands on them, controllers before members.

use std::collections::{BTreeSet, HashMap};

use portreeve_network::{Kind, Link};

/// Sorts by what needs what; where nothing says so, the order stays.
pub(super) fn sort(links: Vec<Link>) -> Vec<Link> {
    let at: HashMap<&str, usize> = links.iter().enumerate().map(|(at, link)| (link.name.as_str(), at)).collect();
    // For each link those that wait for it, and for how many it waits itself.
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); links.len()];
    let mut missing: Vec<usize> = vec![0; links.len()];
    let mut edge = |first: Option<&usize>, second: Option<&usize>| {
        if let (Some(&first), Some(&second)) = (first, second)
            && let (Some(list), Some(count)) = (waiting.get_mut(first), missing.get_mut(second))
        {
            list.push(second);
            *count += 1;
        }
    };
    for link in &links {
        let own = at.get(link.name.as_str());
        edge(link.controller.as_deref().and_then(|name| at.get(name)), own);
        match &link.make {
            Some(Kind::Vlan(vlan)) => edge(at.get(vlan.parent.as_str()), own),
            Some(Kind::Macvlan(macvlan)) => edge(at.get(macvlan.parent.as_str()), own),
            Some(Kind::Veth(veth)) => edge(own, at.get(veth.peer.as_str())),
            _ => {}
        }
    }
    let mut ready: BTreeSet<usize> = (0..links.len()).filter(|at| missing.get(*at) == Some(&0)).collect();
    let mut order = Vec::with_capacity(links.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for &follower in waiting.get(next).map_or(&[][..], Vec::as_slice) {
            if let Some(count) = missing.get_mut(follower) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(follower);
                }
            }
        }
    }
    // Configurations have no circles; should there be one all the same, nothing is lost.
    let placed: BTreeSet<usize> = order.iter().copied().collect();
    order.extend((0..links.len()).filter(|at| !placed.contains(at)));
    let mut links: Vec<Option<Link>> = links.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| links.get_mut(at).and_then(Option::take)).collect()
}
