//! `status --watch`: the whole of a terminal, or elsewhere one page after another.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::super::exit::CommandError;
use super::super::logging::print_problem;
use super::super::output::{Reader, print_apart};
use super::super::short::keep_begin;
use super::screen::{self, Screen};
use super::table::folded;
use super::view::{Look, View};
use crate::election::text;
use crate::election::time::{Clock as _, WallTime};
use crate::time::clock::HostClock;

/// How often it looks: as often as a person can read.
const PERIOD: Duration = Duration::from_secs(1);

/// An error on a terminal takes so many rows at the most.
const ROWS_OF_ERROR: usize = 3;

/// Returns when the reader has left.
pub(super) async fn run(view: &View) -> Result<(), CommandError> {
    let screen = if view.json { None } else { Screen::take()? };
    match screen {
        Some(screen) => on(screen, view).await,
        None => pages(view).await,
    }
}

async fn pages(view: &View) -> Result<(), CommandError> {
    let mut is_first = true;
    loop {
        match view.look().await {
            Ok(look) => {
                let between = if is_first || view.json { "" } else { "\n" };
                let page = view.printed(&look, HostClock.now().wall)?;
                if print_apart(format!("{between}{page}")).await? == Reader::HasLeft {
                    return Ok(());
                }
                is_first = false;
                look.unreadable.iter().for_each(|why| print_problem(why));
            }
            Err(failure) => print_problem(&failure.to_string()),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn on(mut screen: Screen, view: &View) -> Result<(), CommandError> {
    let mut shown = Shown::default();
    let mut looking = Box::pin(look_after(view, Duration::ZERO));
    loop {
        if screen.draw(&shown.lines(view)).await? == Reader::HasLeft {
            return Ok(());
        }
        tokio::select! {
            looked = &mut looking => {
                shown.update(looked);
                looking.set(look_after(view, PERIOD));
            }
            () = screen.changed() => {}
        }
    }
}

async fn look_after(view: &View, pause: Duration) -> Result<Look, CommandError> {
    tokio::time::sleep(pause).await;
    view.look().await
}

/// What the screen has.
#[derive(Default)]
struct Shown {
    /// The last answer of the store, and when it was received.
    last: Option<(Look, WallTime)>,
    /// Why there is no newer one.
    failure: Option<String>,
}

impl Shown {
    fn update(&mut self, looked: Result<Look, CommandError>) {
        // On a terminal they would write into the page.
        let log = |problem: &str| {
            if !io::stderr().is_terminal() {
                print_problem(problem);
            }
        };
        match looked {
            Ok(look) => {
                look.unreadable.iter().for_each(|why| log(why));
                self.last = Some((look, HostClock.now().wall));
                self.failure = None;
            }
            Err(failure) => {
                let failure = failure.to_string();
                log(&failure);
                self.failure = Some(failure);
            }
        }
    }

    fn lines(&self, view: &View) -> Vec<String> {
        let size = screen::size();
        let mut lines = vec![self.title(view, size.width)];
        let unreadable = self.last.iter().flat_map(|(look, _)| &look.unreadable);
        for problem in self.failure.iter().chain(unreadable) {
            lines.extend(folded(problem, "", Some(size.width)).into_iter().take(ROWS_OF_ERROR));
        }
        if let Some((look, at)) = &self.last {
            let left = size.height.saturating_sub(lines.len());
            lines.extend(view.page_within(look, *at, size.width, left));
        }
        lines
    }

    /// The time of what is shown: what the store said then may no longer be so.
    fn title(&self, view: &View, width: usize) -> String {
        let url = &view.config.url;
        let time = self.last.as_ref().map(|(_, at)| at.to_string());
        let time = time.as_deref().and_then(|time| time.get(11..19));
        let title = match (time, &self.failure) {
            (Some(time), None) => format!("{time} UTC  {url}"),
            (Some(time), Some(_)) => format!("as it was at {time} UTC  {url}"),
            (None, _) => url.to_string(),
        };
        keep_begin(&text::unbroken(&title), width)
    }
}
