//! The cluster under load: its members, who leads, and which of them get the load.

use std::time::Duration;

use bytes::BytesMut;

use super::address::Address;
use super::auth::Auth;
use super::channel::Channel;
use super::grpc::CallError;
use super::wire::{self, Status, path};

/// Longest wait for a connection and for each question about the cluster.
pub const ASK: Duration = Duration::from_secs(5);

/// One member that answers.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where it is reached.
    pub address: Address,
    /// Its name in the member list; its address where there is none.
    pub name: String,
    /// What it said of itself when the run was prepared.
    pub status: Status,
    /// A connection for questions, apart from those of the load.
    pub channel: Channel,
}

/// The members that answer, and what is known of the others.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// In the order of the endpoints, each member once.
    pub members: Vec<Member>,
    /// Members of the cluster by its own list.
    pub listed: Vec<wire::Member>,
    /// Endpoints that did not answer, and why.
    pub silent: Vec<(String, CallError)>,
    /// Addresses of members that no endpoint leads to, as the cluster says, for when those that are
    /// loaded are gone.
    pub spare: Vec<Address>,
}

/// Which members get the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The leader.
    Leader,
    /// All voting members that answer, in turn.
    All,
    /// One by its name, its id in hex, or its endpoint.
    Member(String),
}

impl Target {
    /// As the command line writes it.
    pub fn name(&self) -> &str {
        match self {
            Target::Leader => "leader",
            Target::All => "all",
            Target::Member(name) => name,
        }
    }
}

/// Asks a member how it is.
pub async fn ask(channel: &mut Channel) -> Result<Status, CallError> {
    let mut buffer = BytesMut::new();
    let answer = channel
        .once(path::STATUS, wire::empty(&mut buffer), ASK)
        .await?;
    Ok(wire::status(&answer))
}

impl Cluster {
    /// Connects to every endpoint and asks who it is.
    pub async fn find(addresses: &[Address], auth: &Auth) -> Cluster {
        let mut cluster = Cluster {
            members: Vec::new(),
            listed: Vec::new(),
            silent: Vec::new(),
            spare: Vec::new(),
        };
        for address in addresses {
            match Self::member(address, auth).await {
                Ok(member) => {
                    let known = |m: &Member| m.status.member == member.status.member;
                    if !cluster.members.iter().any(known) {
                        cluster.members.push(member);
                    }
                }
                Err(err) => cluster.silent.push((address.to_string(), err)),
            }
        }
        if let Some(first) = cluster.members.first_mut() {
            let mut buffer = BytesMut::new();
            let request = wire::empty(&mut buffer);
            // Without quorum it fails from 3.5 on (it is linearizable there); names are all it
            // gives, and a load needs quorum anyway.
            if let Ok(answer) = first.channel.once(path::MEMBER_LIST, request, ASK).await {
                cluster.listed = wire::members(&answer);
            }
        }
        for member in &mut cluster.members {
            let listed = cluster.listed.iter().find(|m| m.id == member.status.member);
            if let Some(listed) = listed.filter(|m| !m.name.is_empty()) {
                member.name.clone_from(&listed.name);
            }
        }
        cluster
    }

    async fn member(address: &Address, auth: &Auth) -> Result<Member, CallError> {
        let mut channel = Channel::connect(address, auth, ASK).await?;
        if auth.login().is_some() && auth.token().is_none() {
            auth.take(channel.log_in().await?)?;
        }
        let status = ask(&mut channel).await?;
        Ok(Member {
            address: address.clone(),
            name: address.to_string(),
            status,
            channel,
        })
    }

    /// The leader, if it answers.
    pub fn leader(&self) -> Option<&Member> {
        self.members
            .iter()
            .find(|m| m.status.leader != 0 && m.status.leader == m.status.member)
    }

    /// Whether some member knows a leader, and its id.
    pub fn leader_id(&self) -> Option<u64> {
        self.members
            .iter()
            .map(|m| m.status.leader)
            .find(|id| *id != 0)
    }

    /// Where clients reach a member that is not among the endpoints, as the cluster says.
    pub fn urls_of(&self, id: u64) -> &[String] {
        self.listed
            .iter()
            .find(|m| m.id == id)
            .map_or(&[], |m| &m.client_urls)
    }

    /// The places in [`Cluster::members`] that a target means.
    pub fn chosen(&self, target: &Target) -> Vec<usize> {
        let all = self.members.iter().enumerate();
        match target {
            // A learner answers nothing but serializable reads.
            Target::All => all
                .filter(|(_, m)| !m.status.learner)
                .map(|(at, _)| at)
                .collect(),
            Target::Leader => all
                .filter(|(_, m)| m.status.leader != 0 && m.status.leader == m.status.member)
                .map(|(at, _)| at)
                .collect(),
            Target::Member(name) => all
                .filter(|(_, m)| {
                    m.name == *name
                        || format!("{:x}", m.status.member) == *name
                        || m.address.to_string() == *name
                        || m.address.endpoint.address == *name
                })
                .map(|(at, _)| at)
                .collect(),
        }
    }
}
