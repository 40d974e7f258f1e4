//! Limits of requests in flight.

use super::*;

fn saturated() -> Plane {
    Plane::with(Cause::ApiserverSaturation)
        .fails("apf-rejections", component("kube-apiserver"), Critical)
        .version("kube-apiserver", "v1.36.2")
        .put(
            &keys::APISERVER_ETCD_TOOK,
            component("kube-apiserver"),
            Histogram {
                buckets: vec![Bucket {
                    le: 5.0,
                    count: 1000.0,
                }],
                sum: 2000.0,
                max: None,
            },
        )
}

#[test]
fn inflight_limits_below_the_default_are_restored() {
    let plane = saturated().settings(
        "kube-apiserver",
        &[
            ("max-requests-inflight", "8"),
            ("max-mutating-requests-inflight", "4"),
        ],
    );
    let read = plane.find("inflight-read").unwrap();
    assert_eq!(
        (read.now.as_deref(), read.proposed.as_str()),
        (Some("8"), "400")
    );
    assert_eq!(read.strength, Strength::Recommended);
    let mutating = plane.find("inflight-mutating").unwrap();
    assert_eq!(
        (mutating.now.as_deref(), mutating.proposed.as_str()),
        (Some("4"), "200")
    );
}

#[test]
fn inflight_limits_grow_together_by_published_steps() {
    let plane = |nodes: f64| saturated().nodes(nodes).settings("kube-apiserver", &[]);
    let large = plane(4100.0);
    assert_eq!(large.find("inflight-read").unwrap().proposed, "1000");
    assert_eq!(large.find("inflight-mutating").unwrap().proposed, "500");
    let small = plane(50.0).advice();
    assert!(
        !small
            .iter()
            .any(|a| a.remedy == Remedy::Inflight && a.strength != Strength::Refused)
    );
}

#[test]
fn inflight_limits_are_never_raised_while_etcd_is_slow() {
    let slow = Plane::with(Cause::ApiserverSaturation)
        .fails("apf-rejections", component("kube-apiserver"), Critical)
        .fails("etcd-requests-slow", component("kube-apiserver"), Critical)
        .nodes(4100.0)
        .settings("kube-apiserver", &[]);
    let all = slow.advice();
    let inflight: Vec<_> = all
        .iter()
        .filter(|a| a.remedy == Remedy::Inflight)
        .collect();
    assert_eq!(inflight.len(), 1);
    assert_eq!(inflight[0].strength, Strength::Refused);
    assert!(
        inflight[0].why.contains("3000 and 1000"),
        "{}",
        inflight[0].why
    );
}

#[test]
fn uneven_apiservers_get_goaway_and_even_ones_do_not() {
    let on = |node: &str| Subject::new(SubjectKind::Component, "kube-apiserver").on(node);
    let plane = |second: f64, chance: &str| {
        Plane::with(Cause::ApiserverSaturation)
            .fails("apf-rejections", component("kube-apiserver"), Critical)
            .version("kube-apiserver", "v1.30.1")
            .settings("kube-apiserver", &[("goaway-chance", chance)])
            .put(&keys::APISERVER_REQUESTS_RATE, on("cp0"), 900.0)
            .put(&keys::APISERVER_REQUESTS_RATE, on("cp1"), second)
            .find("goaway-chance")
    };
    let advice = plane(80.0, "0").unwrap();
    assert_eq!(
        (advice.proposed.as_str(), advice.remedy),
        ("0.001", Remedy::Apf)
    );
    assert_eq!(plane(800.0, "0"), None);
    assert_eq!(plane(80.0, "0.002"), None);
}

#[test]
fn lowered_limits_are_no_first_remedy_while_etcd_is_sick() {
    let lowered = |sick: Option<&str>| {
        let plane = Plane::with(Cause::Unknown)
            .fails("inflight-unbalanced", component("kube-apiserver"), Warn)
            .version("kube-apiserver", "v1.36.2")
            .settings(
                "kube-apiserver",
                &[
                    ("max-requests-inflight", "8"),
                    ("max-mutating-requests-inflight", "4"),
                ],
            );
        match sick {
            Some(rule) => plane.fails(rule, component("etcd"), Critical),
            None => plane,
        }
        .find("inflight-read")
        .unwrap()
    };
    assert_eq!(lowered(None).strength, Strength::Recommended);
    for rule in ["wal-fsync-slow", "etcd-cpu-throttled", "leader-unstable"] {
        let later = lowered(Some(rule));
        assert_eq!(later.strength, Strength::Candidate, "{rule}");
        assert!(later.why.contains(rule), "{}", later.why);
    }
}

#[test]
fn without_priority_levels_zero_is_no_limit_and_stays() {
    let zero = |apf: &str| {
        Plane::with(Cause::Unknown)
            .fails("inflight-unbalanced", component("kube-apiserver"), Warn)
            .version("kube-apiserver", "v1.27.3")
            .settings(
                "kube-apiserver",
                &[
                    ("enable-priority-and-fairness", apf),
                    ("max-requests-inflight", "0"),
                    ("max-mutating-requests-inflight", "0"),
                ],
            )
            .find("inflight-read")
            .map(|advice| advice.proposed)
    };
    assert_eq!(zero("false"), None);
    assert_eq!(zero("true").as_deref(), Some("400"));
}
