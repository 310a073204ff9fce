//! The alert rules on real scrapes: what pairs of sidecars expose that are healthy, cut off, cannot
//! write, are unhealthy or have resigned, each played back for five minutes.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::metrics::exposition::Exposition;
use crate::metrics::scene::{ELECTIONS, Scene, SilentStore, leads, scrape, silence};
use crate::metrics::tools::{JOB, file, promtool};
use support::eventually;
use support::lock::Lock;

/// What belongs to the moment. The others are about the minutes before, which a play-back of single
/// moments does not have: they are tested on made-up series.
const JUDGED: &str = "BellwetherNoLeader|BellwetherTwoLeaders|BellwetherTermHasTwoLeaders|\
     BellwetherStoreSilent|BellwetherStoreSilentEverywhere|BellwetherStoreMisconfigured|BellwetherGateClosedEverywhere|\
     BellwetherTermWentBackwards|BellwetherDown|BellwetherAbsent";

/// How many scrapes, 15 s apart, each situation is played back for.
const SCRAPES: usize = 20;

/// One situation: what both sidecars expose, and how many alerts of which name it has to set off.
struct Situation {
    scrapes: [Exposition; 2],
    fires: &'static [(&'static str, usize)],
}

#[test]
fn real_troubles_set_off_their_alerts_and_nothing_else() {
    let scene = Scene::new();
    let situations = [
        Situation { scrapes: scene.sidecars.each_ref().map(scrape), fires: &[] },
        locked(&scene),
        Situation { scrapes: recovered(&scene), fires: &[] },
        unhealthy(&scene),
        Situation { scrapes: healthy_again(&scene), fires: &[] },
        resigned(&scene),
        cut_off(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.yaml");
    let test = unit_test(&scene, &situations);
    std::fs::write(&path, &test).unwrap();
    let printed = promtool(&["test", "rules", &path.display().to_string()], "");
    printed.unwrap_or_else(|printed| panic!("{printed}\n{test}"));
}

fn locked(scene: &Scene) -> Situation {
    let _lock = Lock::take(&scene.pasture);
    let scrapes = eventually("no instance leads", || {
        Some([leads(scene.leader(), 0.0)?, leads(scene.standby(), 0.0)?])
    });
    Situation { scrapes, fires: &[("BellwetherNoLeader", 3)] }
}

/// Of another pair, whose store never answered.
fn cut_off() -> Situation {
    let store = SilentStore::new();
    let sidecars = ["alpha", "beta"].map(|name| store.sidecar(name));
    let scrapes = eventually("the store is silent for both", || {
        Some([silence(&sidecars[0])?, silence(&sidecars[1])?])
    });
    let fires = &[
        ("BellwetherNoLeader", 3),
        ("BellwetherStoreSilent", 2),
        ("BellwetherStoreSilentEverywhere", 1),
    ];
    Situation { scrapes, fires }
}

/// Scrapes in which every election has one leader.
fn recovered(scene: &Scene) -> [Exposition; 2] {
    eventually("one leads each election", || led_but_for(scene, ""))
}

/// Scrapes in which every election but one has one leader.
fn led_but_for(scene: &Scene, left_out: &str) -> Option<[Exposition; 2]> {
    let scrapes = scene.sidecars.each_ref().map(scrape);
    let leaders = |name| -> f64 {
        let of = [("election", name)];
        scrapes.iter().map(|scrape| scrape.value("bellwether_leading", &of)).sum()
    };
    let as_expected = |name| leaders(name) == if name == left_out { 0.0 } else { 1.0 };
    ELECTIONS.into_iter().all(as_expected).then_some(scrapes)
}

fn unhealthy(scene: &Scene) -> Situation {
    std::fs::remove_file(scene.pasture.folder().join("healthy")).unwrap();
    let closed = |sidecar| {
        let scrape = leads(sidecar, 0.0)?;
        (scrape.value("bellwether_gate_open", &[]) == 0.0).then_some(scrape)
    };
    let scrapes = eventually("both gates are closed", || {
        Some([closed(scene.leader())?, closed(scene.standby())?])
    });
    let fires = &[("BellwetherGateClosedEverywhere", 1), ("BellwetherNoLeader", 3)];
    Situation { scrapes, fires }
}

fn healthy_again(scene: &Scene) -> [Exposition; 2] {
    std::fs::write(scene.pasture.folder().join("healthy"), "").unwrap();
    eventually("both gates are open", || {
        let open = |sidecar| scrape(sidecar).value("bellwether_gate_open", &[]) == 1.0;
        scene.sidecars.iter().all(open).then_some(())
    });
    recovered(scene)
}

fn resigned(scene: &Scene) -> Situation {
    for sidecar in &scene.sidecars {
        let url = format!("{}/elections/mail/resign", sidecar.url);
        ureq::post(url).send(r#"{"cooldown":"10m"}"#).expect("a response");
    }
    let scrapes = eventually("no instance leads it", || led_but_for(scene, "mail"));
    Situation { scrapes, fires: &[("BellwetherNoLeader", 1)] }
}

/// A test for promtool: one situation after the other, and at the end of each what fires.
fn unit_test(scene: &Scene, situations: &[Situation]) -> String {
    let mut test = format!(
        "rule_files: [{}]\nevaluation_interval: 15s\ntests:\n  - interval: 15s\n    input_series:\n",
        file("deploy/grafana/alerts.yaml").display()
    );
    for (place, sidecar) in scene.sidecars.iter().enumerate() {
        let target = format!("job=\"{JOB}\", instance=\"{}\"", sidecar.name);
        // What is missing from a situation is missing from its scrapes.
        let mut series =
            BTreeMap::from([(format!("up{{{target}}}"), vec![Some(1.0); situations.len()])]);
        for (number, situation) in situations.iter().enumerate() {
            for sample in situation.scrapes[place].samples() {
                let labels =
                    sample.labels.iter().map(|(name, value)| format!(", {name}=\"{value}\""));
                let key = format!("{}{{{target}{}}}", sample.name, labels.collect::<String>());
                let values = series.entry(key).or_insert_with(|| vec![None; situations.len()]);
                values[number] = Some(sample.value);
            }
        }
        for (series, values) in series {
            writeln!(test, "      - series: '{series}'\n        values: '{}'", played(&values))
                .unwrap();
        }
    }
    test += "    promql_expr_test:\n";
    for (place, situation) in situations.iter().enumerate() {
        let at = ((place + 1) * SCRAPES - 1) * 15;
        let expression = format!(
            "count by (alertname) (ALERTS{{alertstate=\"firing\", alertname=~\"{JUDGED}\"}})"
        );
        writeln!(test, "      - expr: '{expression}'\n        eval_time: {at}s").unwrap();
        writeln!(test, "        exp_samples:").unwrap();
        for (alert, count) in situation.fires {
            let labels = format!("{{alertname=\"{alert}\"}}");
            writeln!(test, "          - {{labels: '{labels}', value: {count}}}").unwrap();
        }
    }
    test
}

/// Values as promtool writes them: `1x2` is three times 1, `_x3` is three times nothing.
fn played(values: &[Option<f64>]) -> String {
    let values = values.iter().map(|value| match value {
        Some(value) => format!("{value}x{} ", SCRAPES - 1),
        None => format!("_x{SCRAPES} "),
    });
    values.collect()
}
