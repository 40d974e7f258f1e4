//! Processes of kube-apiserver: found by their arguments, as far as what holds them back is asked for.

use std::collections::BTreeMap;

use crate::clock::Timestamp;

use super::Got;

/// One running kube-apiserver.
#[derive(Clone, Debug)]
pub struct Apiserver {
    /// Its process id in this tree.
    pub pid: u32,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Its cgroup by controller; the empty name is version 2's.
    pub cgroups: Got<BTreeMap<String, String>>,
}

/// Whether a process is a kube-apiserver; hyperkube of old names it by its first argument.
pub(super) fn is_apiserver(argv: &[String], comm: &str) -> bool {
    let words = || argv.first().into_iter().flat_map(|word| word.split(' '));
    let Some(program) = words().next() else {
        return comm == "kube-apiserver";
    };
    let base = |word: &str| word.rsplit('/').next() == Some("kube-apiserver");
    let under_it = program.ends_with("hyperkube") && argv.get(1).is_some_and(|word| base(word));
    base(program) || under_it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_its_program_and_not_by_a_name_that_begins_like_it() {
        let is = |words: &[&str], comm: &str| {
            let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            is_apiserver(&argv, comm)
        };
        assert!(is(&["/usr/bin/kube-apiserver", "--v=2"], ""));
        // Everything in the first argument, as a process that set its title has it.
        assert!(is(&["kube-apiserver --v=2"], ""));
        assert!(is(&["/hyperkube", "kube-apiserver"], ""));
        assert!(is(&[], "kube-apiserver"));
        assert!(!is(&["kube-apiserver-network-proxy"], ""));
        assert!(!is(&["/hyperkube", "kubelet"], ""));
        assert!(!is(&["grep", "kube-apiserver"], "grep"));
    }
}
