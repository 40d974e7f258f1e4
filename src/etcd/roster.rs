//! Who is who: answers, lists and silent addresses put down to members.

use std::collections::BTreeMap;

use crate::target::etcd::Endpoint;

use super::connect::Connection;
use super::gather::Reached;
use super::model::{Listed, Member, Model};
use super::trouble::Trouble;

pub(super) fn label(member: &Member) -> String {
    member
        .id
        .map_or_else(|| member.name.clone(), |id| format!("{id:x}"))
}

pub(super) fn sorted(urls: &[String]) -> Vec<String> {
    let mut urls = urls.to_vec();
    urls.sort();
    urls
}

/// Notes a member that answered. The same member at a second address is not asked twice.
pub(super) fn add_reached(model: &mut Model, ways: &mut Vec<Option<Connection>>, reached: Reached) {
    let Reached { connection, sample } = reached;
    // A backend without ids: every address is its own.
    let id = (sample.id != 0).then_some(sample.id);
    let known = model
        .members
        .iter()
        .position(|member| id.is_some() && member.id == id);
    ways.resize_with(model.members.len(), || None);
    match known {
        Some(at) => {
            if let (Some(member), Some(way)) = (model.members.get_mut(at), ways.get_mut(at))
                && !member.answers()
            {
                member.endpoint = Some(connection.endpoint.clone());
                member.samples.push(sample);
                member.trouble = None;
                *way = Some(connection);
            }
        }
        None => {
            model.members.push(Member {
                id,
                name: id.map_or_else(|| connection.endpoint.to_string(), |id| format!("{id:x}")),
                endpoint: Some(connection.endpoint.clone()),
                samples: vec![sample],
                ..Member::default()
            });
            ways.push(Some(connection));
        }
    }
}

/// Adds what a list says.
pub(super) fn add_listed(model: &mut Model, list: &[Listed]) {
    for listed in list {
        let known = model
            .members
            .iter_mut()
            .find(|member| member.id == Some(listed.id));
        let name = if listed.name.is_empty() {
            format!("{:x}", listed.id)
        } else {
            listed.name.clone()
        };
        match known {
            Some(member) => {
                member.name = name;
                member.listed.get_or_insert_with(|| listed.clone());
            }
            None => model.members.push(Member {
                id: Some(listed.id),
                name,
                listed: Some(listed.clone()),
                ..Member::default()
            }),
        }
    }
}

/// Whether an address is one of a member's client addresses.
pub(super) fn lists_address(member: &Member, endpoint: &Endpoint) -> bool {
    member.listed.as_ref().is_some_and(|listed| {
        listed
            .client_urls
            .iter()
            .filter_map(|url| Endpoint::parse(url, true).ok())
            .any(|url| url.address == endpoint.address)
    })
}

/// Gives each address that did not answer to the member it belongs to.
pub(super) fn assign(model: &mut Model, silent: Vec<(Endpoint, Trouble)>) {
    for (endpoint, trouble) in silent {
        model.silent.push(endpoint.clone());
        let owner = model
            .members
            .iter_mut()
            .find(|member| lists_address(member, &endpoint));
        match owner {
            Some(member) if !member.answers() => {
                if member.trouble.is_none() {
                    member.endpoint = Some(endpoint);
                    member.trouble = Some(trouble);
                }
            }
            Some(member) => model.problems.push(format!(
                "{endpoint} of {} does not work: {}",
                member.name,
                trouble.in_full()
            )),
            None => model.strangers.push((endpoint, trouble)),
        }
    }
}

pub(super) fn sort(model: &mut Model, known_as: &BTreeMap<String, String>) {
    // etcd allows one name for several members; evidence does not.
    let names: Vec<String> = model.members.iter().map(|m| m.name.clone()).collect();
    for member in &mut model.members {
        let alike = names.iter().filter(|name| **name == member.name).count();
        match (known_as.get(&member.name), member.id) {
            (Some(name), _) if alike == 1 => member.name.clone_from(name),
            (_, Some(id)) if alike > 1 => member.name = format!("{}/{id:x}", member.name),
            _ => {}
        }
    }
    // Lists go by id while members are found; from here on names are for people.
    let lists = std::mem::take(&mut model.lists);
    model.lists = lists
        .into_iter()
        .map(|(id, list)| {
            let name = model
                .members
                .iter()
                .find(|member| label(member) == id)
                .map_or(id, |member| member.name.clone());
            (name, list)
        })
        .collect();
    model
        .members
        .sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
}
