//! Two hundred elections in one process.

use std::process::{Child, Stdio};

use crate::metrics::exposition::Exposition;
use crate::metrics::tools::{file, promtool};
use support::{Log, Pasture, bellwether, eventually, get};

/// A sidecar with the default durations, which stands in this many elections.
struct Many {
    url: String,
    child: Child,
    _pasture: Pasture,
}

impl Many {
    fn standing_in(elections: usize) -> Self {
        let pasture = Pasture::new();
        let names = (0..elections).map(|number| format!("e{number}"));
        let mut command = bellwether();
        command.args(["serve", "--listen", "127.0.0.1:0", "--store", &pasture.store()]);
        command.args(names.flat_map(|name| ["--election".to_owned(), name]));
        let mut child = command.stderr(Stdio::piped()).spawn().expect("bellwether starts");
        let log = Log::of(child.stderr.take().expect("stderr is piped"));
        let url = eventually("it says where it answers", || {
            let lines = log.lines();
            let line = lines.iter().find(|line| line.contains("\"event\":\"standing\""))?;
            let (_, url) = line.split_once("\"url\":\"")?;
            Some(url.split_once("/leader")?.0.to_owned())
        });
        Self { url, child, _pasture: pasture }
    }

    fn text(&self) -> String {
        let answer = get(&format!("{}/metrics", self.url)).expect("it answers");
        answer.body.as_str().expect("text").to_owned()
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn series(text: &str) -> usize {
    Exposition::parse(text).samples().count()
}

/// The numbers that docs/metrics.md gives.
#[test]
fn the_number_of_series_is_as_documented() {
    let one = series(&Many::standing_in(1).text());
    let many = Many::standing_in(200);
    let led = eventually("it leads all of them", || {
        let text = many.text();
        let led = Exposition::parse(&text);
        let led = led.samples().filter(|s| s.name == "bellwether_leading" && s.value == 1.0);
        (led.count() == 200).then_some(text)
    });
    assert_eq!(promtool(&["check", "metrics"], &led).as_deref(), Ok(""));
    let per_election = (series(&led) - one) / 199;
    let per_process = one - per_election;
    assert_eq!(series(&led), per_process + 200 * per_election, "the same for every election");
    let page = std::fs::read_to_string(file("docs/metrics.md")).unwrap();
    let words = format!(
        "{per_election} series for each election and {per_process} for the process: {} with 200",
        thousands(series(&led))
    );
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(&words), "docs/metrics.md has to say: {words}");
}

fn thousands(number: usize) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}
