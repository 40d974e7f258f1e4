//! systemd's specifiers (systemd.unit, "Specifiers") in the path of a file that a unit names.

/// The text with its specifiers filled in. `Err` names the one that cannot be told: the instance of
/// a template, the host's name where that is not known.
pub(crate) fn expand(text: &str, unit: &str, host: Option<&str>) -> Result<String, String> {
    let full = unit.rsplit_once('.').map_or(unit, |(name, _)| name);
    let (prefix, instance) = match full.split_once('@') {
        Some((prefix, instance)) => (prefix, Some(instance)),
        None => (full, Some("")),
    };
    // `etcd@.service` is no unit that runs: what its instances are named is not written in it.
    let template = full.ends_with('@');
    let instance = instance.filter(|_| !template);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let letter = chars.next().unwrap_or(' ');
        let value = match letter {
            '%' => Some("%"),
            'p' | 'P' => Some(prefix),
            'j' | 'J' => prefix.rsplit('-').next(),
            'i' | 'I' => instance,
            'N' => Some(full).filter(|_| !template),
            'n' => Some(unit).filter(|_| !template),
            'H' => host,
            'l' => host.and_then(|host| host.split('.').next()),
            't' => Some("/run"),
            'S' => Some("/var/lib"),
            'C' => Some("/var/cache"),
            'L' => Some("/var/log"),
            'E' => Some("/etc"),
            'T' => Some("/tmp"),
            'V' => Some("/var/tmp"),
            'h' => Some("/root"),
            _ => None,
        };
        out.push_str(value.ok_or_else(|| format!("%{letter}"))?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_filled_in() {
        let of = |text: &str, unit: &str| expand(text, unit, Some("cp1.x"));
        for (text, unit, want) in [
            ("/etc/default/%p", "etcd.service", "/etc/default/etcd"),
            ("/e/%N-%i", "etcd@main.service", "/e/etcd@main-main"),
            ("/e/%n", "etcd.service", "/e/etcd.service"),
            ("%E/%H/%l/%%", "etcd.service", "/etc/cp1.x/cp1/%"),
            ("/e/%j", "kube-etcd.service", "/e/etcd"),
            ("/e/%p", "etcd@.service", "/e/etcd"),
        ] {
            assert_eq!(of(text, unit).as_deref(), Ok(want), "{text} of {unit}");
        }
        assert_eq!(of("/e/etcd-%i", "etcd@.service"), Err("%i".to_owned()));
        assert_eq!(of("/e/%m", "etcd.service"), Err("%m".to_owned()));
        assert_eq!(expand("%H", "etcd.service", None), Err("%H".to_owned()));
        assert_eq!(of("a%", "etcd.service"), Err("% ".to_owned()));
    }
}
