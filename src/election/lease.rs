//! The lease record: what a store keeps for an election.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::handover::Handover;
use super::history::{self, WorkName};
use super::holder_url::HolderUrl;
use super::pause::Pause;
use super::term::Term;
use super::text;
use super::time::WallTime;

/// The longest lease duration that a record may carry.
///
/// A rival waits for the duration *in the record*, so a record with an absurd one would stop the
/// election. An hour is far longer than any useful lease.
pub const MAX_LEASE_DURATION: Duration = Duration::from_secs(3600);

/// Whether a record may carry this lease duration.
pub fn is_lease_duration(duration: Duration) -> bool {
    !duration.is_zero() && duration <= MAX_LEASE_DURATION
}

/// The name of an election: the key of its record in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElectionName(String);

/// Why a text is not the name of an election.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not an election name; use 1 to 63 lower-case letters, digits, '-' or '.', beginning \
     and ending with a letter or digit"
)]
pub struct InvalidElectionName(String);

/// Begins the names of the leases of works that are done once.
const WORK: &str = "once/";

/// Begins the names of the records with their histories.
const HISTORY: &str = "history/";

/// What a record in a store is for, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind<'a> {
    /// The lease of an election.
    Election(&'a str),
    /// The lease of a work that is done once.
    Work(&'a str),
    /// The history of such a work.
    History(&'a str),
}

impl ElectionName {
    /// The lease of a work. It cannot collide with an election: no name of one has a slash in it.
    pub fn of_work(work: &WorkName) -> Self {
        Self(format!("{WORK}{work}"))
    }

    /// The record with the history of a work.
    pub fn of_history(work: &WorkName) -> Self {
        Self(format!("{HISTORY}{work}"))
    }

    /// The name of this record in a store that several namespaces share. Names in two different
    /// namespaces never collide, nor does one with a name without a namespace: those have no colon
    /// before their first slash.
    #[must_use]
    pub fn within(&self, namespace: &Namespace) -> Self {
        Self(format!("{namespace}{WITHIN}{self}"))
    }

    /// The namespace of a record's name, and the name in it.
    pub fn split(&self) -> (Option<Namespace>, Self) {
        let split = self.0.split_once(WITHIN);
        match split.and_then(|(namespace, name)| Some((namespace.parse().ok()?, name))) {
            Some((namespace, name)) => (Some(namespace), Self(name.to_owned())),
            None => (None, self.clone()),
        }
    }

    /// What the record of this name is for.
    pub fn kind(&self) -> RecordKind<'_> {
        if let Some(work) = self.0.strip_prefix(WORK) {
            RecordKind::Work(work)
        } else if let Some(work) = self.0.strip_prefix(HISTORY) {
            RecordKind::History(work)
        } else {
            RecordKind::Election(&self.0)
        }
    }

    /// Reads a name back from a store: the name of an election, a work or a history,
    /// [`ElectionName::within`] a namespace or without one.
    pub fn from_store(text: &str) -> Option<Self> {
        let split = text.split_once(WITHIN);
        match split.and_then(|(namespace, name)| Some((namespace.parse().ok()?, name))) {
            Some((namespace, name)) => Some(Self::alone(name)?.within(&namespace)),
            None => Self::alone(text),
        }
    }

    fn alone(text: &str) -> Option<Self> {
        match text.strip_prefix(WORK).or_else(|| text.strip_prefix(HISTORY)) {
            Some(work) => history::is_stored_text(work).then(|| Self(text.to_owned())),
            None => text.parse().ok(),
        }
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ElectionName {
    type Err = InvalidElectionName;

    /// Accepts what is a valid object name in Kubernetes and needs no escaping in a URL, in SQL or
    /// on a command line, so that an election can move from one store to another.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidElectionName(text::given(text)))
        }
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_plain = |b: Option<&u8>| b.is_some_and(|b| plain(*b));
    bytes.len() <= 63
        && ends_plain(bytes.first())
        && ends_plain(bytes.last())
        && bytes.iter().all(|&b| plain(b) || b == b'-' || b == b'.')
}

impl fmt::Display for ElectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An environment whose records in a store have names of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

/// Separates a namespace from a name. Neither a namespace nor an election may contain it, and a work
/// contains it only after the slash of [`WORK`] or [`HISTORY`].
const WITHIN: char = ':';

/// The reason why a text is not the name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a namespace; use 1 to 63 lower-case letters, digits, '-' or '.', beginning and \
     ending with a letter or digit"
)]
pub struct InvalidNamespace(String);

impl FromStr for Namespace {
    type Err = InvalidNamespace;

    /// Accepts the names that an election may have.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidNamespace(text::given(text)))
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One process that stands in an election.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Readable and stable: a host, a pod, a task.
    pub identity: String,
    /// Random and new for each process start, so that a restarted process never takes itself for
    /// the holder it was.
    pub incarnation: String,
}

/// A store's compare-and-swap handle for one state of one record. Equality is all it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// Wraps what the store uses to tell one state of a record from another.
    pub fn new(handle: impl Into<String>) -> Self {
        Self(handle.into())
    }

    /// The store's own text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a candidate runs, by the name that operators know: a task, a namespace, an environment. It
/// decides nothing; it reveals that two environments share a store by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

/// Begins the origin of an ECS task; its ARN follows, which ends in the cluster and the task's own id.
pub const ECS_TASK: &str = "ECS task ";

/// The longest origin: the ARN of an ECS task has 350 characters at most.
const MAX_ORIGIN: usize = 400;

impl Origin {
    /// A text of a platform or a record; none if it is empty, too long, or not printable on a line.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let printable = !text.is_empty() && text::is_line(&text);
        (printable && text.chars().count() <= MAX_ORIGIN).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is the same for all candidates of one environment.
    pub fn environment(&self) -> &str {
        match self.0.rsplit_once('/') {
            Some((cluster, _)) if self.0.starts_with(ECS_TASK) => cluster,
            _ => &self.0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a store keeps for an election. The record is written by every holder and never deleted.
#[derive(Clone, Debug)]
pub struct LeaseRecord {
    /// Who holds the lease; none after it was vacated.
    pub holder: Option<Candidate>,
    /// The term of the current or, if vacated, the last holder.
    pub term: Term,
    /// How long rivals wait for this holder, by its own settings.
    pub lease_duration: Duration,
    /// When the holder acquired the lease, by its wall clock. For people.
    pub acquire_time: WallTime,
    /// When this record was written, by its writer's wall clock. For people.
    pub renew_time: WallTime,
    /// What else the record keeps: the history of a work. A lease has none.
    pub payload: Option<Box<str>>,
    /// Where the holder, or the last one, runs, if known. An unprintable text counts as none.
    pub origin: Option<Origin>,
    /// Where the holder can be reached, if it says so. A text that is no such URL counts as none.
    pub holder_url: Option<HolderUrl>,
    /// The pause that an operator ordered: no candidate stands until it is over.
    pub pause: Option<Pause>,
    /// What the last holder said when it vacated the lease.
    pub handover: Option<Handover>,
}

impl LeaseRecord {
    /// A record in term zero without a holder, written at `wall`.
    pub fn without_holder(lease_duration: Duration, wall: WallTime) -> Self {
        Self {
            holder: None,
            term: Term::ZERO,
            lease_duration,
            acquire_time: wall,
            renew_time: wall,
            payload: None,
            origin: None,
            holder_url: None,
            pause: None,
            handover: None,
        }
    }

    /// The same record after its holder freed the lease, at `wall`.
    #[must_use]
    pub fn vacated(self, wall: WallTime) -> Self {
        Self { holder: None, holder_url: None, renew_time: wall, ..self }
    }

    /// The record as a store has to show it: a client with write access to the store can write any
    /// text. An identity and an incarnation that this program wrote stay unchanged.
    #[must_use]
    pub fn checked(mut self) -> Self {
        if let Some(holder) = &mut self.holder {
            holder.identity = text::name(&holder.identity);
            holder.incarnation = text::line(&holder.incarnation);
        }
        self.holder_url = self.holder_url.filter(|_| self.holder.is_some());
        self.handover = self.handover.filter(|left| self.holder.is_none() && left.is_of(self.term));
        self
    }

    /// The holder's URL as a store keeps it: see [`HolderUrl::stored`].
    pub fn stored_url(&self) -> Option<String> {
        Some(self.holder_url.as_ref()?.stored(&self.holder.as_ref()?.incarnation))
    }

    /// The record with the URL that a store kept, if that is its holder's.
    #[must_use]
    pub fn with_stored_url(mut self, text: Option<&str>) -> Self {
        let incarnation = self.holder.as_ref().map(|holder| holder.incarnation.as_str());
        let read = |(text, incarnation)| HolderUrl::from_store(text, incarnation);
        self.holder_url = text.zip(incarnation).and_then(read);
        self
    }

    /// What the last holder said, as a store keeps it: see [`Handover::stored`].
    pub fn stored_handover(&self) -> Option<String> {
        self.handover.as_ref().filter(|_| self.holder.is_none())?.stored()
    }

    /// The record with what a store kept of its last holder's words, if they are of its term.
    #[must_use]
    pub fn with_stored_handover(mut self, text: Option<&str>) -> Self {
        self.handover = text.and_then(|text| Handover::from_store(text, self.term));
        self
    }

    /// Whether `candidate` is the holder: the same process, not just the same identity.
    pub fn is_held_by(&self, candidate: &Candidate) -> bool {
        self.holder.as_ref() == Some(candidate)
    }

    /// Whether the holder that `other` names holds the lease here too, in the same term: it has renewed it,
    /// if the two versions differ.
    pub fn is_same_tenure(&self, other: &Self) -> bool {
        self.holder.is_some() && self.holder == other.holder && self.term == other.term
    }

    /// Whether no holder wrote between this state of the record and `other`: each renewal has a time of
    /// its own, with the stored precision of a millisecond. What changed was by an operator, who paused
    /// the election, resumed it, or both.
    pub fn is_same_writing(&self, other: &Self) -> bool {
        self.holder == other.holder
            && self.term == other.term
            && self.renew_time.to_string() == other.renew_time.to_string()
    }

    /// Whether the lease is vacated and there is nothing else to know: a hint may say so instead of a
    /// look.
    pub fn is_free(&self) -> bool {
        self.holder.is_none() && self.payload.is_none() && self.pause.is_none()
    }

    /// Whether this write changes the leader, so that other candidates are notified. A renewal does
    /// not. A pause is about to. Only a hint, because it compares times of a wall clock.
    pub fn changes_leader(&self) -> bool {
        self.holder.is_none()
            || self.pause.is_some()
            || self.acquire_time.same_reading(self.renew_time)
    }

    /// Whether writing this record only renews a lease: standbys that learn of it need no look.
    pub fn is_renewal(&self) -> bool {
        self.holder.is_some() && !self.changes_leader()
    }
}

/// How its holder left a record that it vacated, as a notification says it without a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vacated {
    /// The term.
    pub term: Term,
    /// The version of the record since.
    pub version: Version,
    /// What the holder said when it left.
    pub handover: Option<Handover>,
}

/// A renewal, as far as that can be said without a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The term.
    pub term: Term,
    /// The version of the record since.
    pub version: Version,
    /// How many learn of it at that moment.
    pub listeners: Listeners,
}

/// How many candidates wait for the same push, the leader among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listeners {
    /// Nothing says it.
    #[default]
    Unknown,
    /// About so many sessions have a store in common. They may be of several elections, so a candidate may be
    /// alone.
    Sessions(u32),
    /// About so many candidates of this election.
    Candidates(u32),
}

/// A record as a store showed it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The record.
    pub record: LeaseRecord,
    /// The handle with which exactly this state can be swapped for another.
    pub version: Version,
    /// The store's own judgement of how much of the lease is left: zero if it is over, none if
    /// the store has no clock to judge by.
    pub remaining: Option<Duration>,
    /// The store failed over since this record was written, and may have lost newer ones: neither
    /// its holder nor its being vacated proves anything, and higher terms may have been handed out.
    pub outlived: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn election_names_are_portable_across_stores() {
        for good in ["default", "a", "0", "billing.cron", "web-migrations-2"] {
            assert_eq!(good.parse::<ElectionName>().unwrap().as_str(), good);
        }
        let long = "x".repeat(64);
        for bad in ["", "-a", "a-", ".", "Upper", "with space", "a/b", "ä", "a_b", &long] {
            let error = bad.parse::<ElectionName>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{bad}'")), "{error}");
        }
    }

    #[test]
    fn works_and_elections_do_not_collide() {
        let work: WorkName = "ecs:prod/web".parse().unwrap();
        let (lease, history) = (ElectionName::of_work(&work), ElectionName::of_history(&work));
        assert_eq!(lease.kind(), RecordKind::Work("ecs:prod/web"));
        assert_eq!(history.kind(), RecordKind::History("ecs:prod/web"));
        for record in [lease, history] {
            assert_eq!(ElectionName::from_store(record.as_str()), Some(record.clone()));
            assert!(record.as_str().parse::<ElectionName>().is_err());
        }
        let election = ElectionName::from_store("default").unwrap();
        assert_eq!(election.kind(), RecordKind::Election("default"));
    }

    #[test]
    fn names_of_different_namespaces_never_collide() {
        let namespace = |text: &str| text.parse::<Namespace>().unwrap();
        let election = |text: &str| text.parse::<ElectionName>().unwrap();
        let work = |text: &str| ElectionName::of_work(&text.parse().unwrap());
        let history = |text: &str| ElectionName::of_history(&text.parse().unwrap());
        let works = [work("a"), work("b:a"), work("once:a/b"), history("a"), history("b:a")];
        let names = [&[election("a"), election("once")][..], &works].concat();
        let namespaces =
            [None, Some(namespace("a")), Some(namespace("once")), Some(namespace("b"))];
        let mut seen = std::collections::BTreeSet::new();
        for name in &names {
            for namespace in &namespaces {
                let stored = namespace.as_ref().map_or(name.clone(), |within| name.within(within));
                assert_eq!(stored.split(), (namespace.clone(), name.clone()));
                assert_eq!(ElectionName::from_store(stored.as_str()), Some(stored.clone()));
                assert!(seen.insert(stored.as_str().to_owned()), "{stored} comes twice");
            }
        }
        for bad in ["", "a/b", "a:b", "Prod", "a_b", "\u{1b}"] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad:?}");
        }
        for bad in ["a:", ":a", "a:b:c", "A:b", "a:B", "a:once/", "history/"] {
            assert_eq!(ElectionName::from_store(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_origin_is_a_text_that_can_be_shown() {
        assert_eq!(Origin::new("Kubernetes namespace prod").unwrap().to_string().len(), 25);
        for bad in ["", "prod\u{1b}[2J", "a\nb", &"x".repeat(MAX_ORIGIN + 1)] {
            assert_eq!(Origin::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_tasks_of_a_cluster_share_an_environment_and_others_are_what_they_say() {
        let environment = |text: &str| {
            let origin = Origin::new(text).unwrap();
            assert_eq!(origin.as_str(), text);
            origin.environment().to_owned()
        };
        let cluster = format!("{ECS_TASK}arn:aws:ecs:eu-west-1:1:task/prod");
        assert_eq!(environment(&format!("{cluster}/0f9")), cluster);
        for whole in ["Kubernetes namespace prod", "host a/b", "ECS task without a cluster"] {
            assert_eq!(environment(whole), whole);
        }
    }

    fn candidate(incarnation: &str) -> Candidate {
        Candidate { identity: "web-0".to_owned(), incarnation: incarnation.to_owned() }
    }

    fn wall(ms: u64) -> WallTime {
        WallTime::from_unix(Duration::from_millis(ms))
    }

    /// Of term 7, acquired at zero and renewed since.
    fn held() -> LeaseRecord {
        let record = LeaseRecord::without_holder(Duration::from_secs(15), WallTime::EPOCH);
        let holder = Some(candidate("first start"));
        LeaseRecord { holder, term: Term::new(7), renew_time: wall(1), ..record }
    }

    fn handover(term: u64) -> Option<Handover> {
        Handover::from_store(&format!(r#"{{"term":{term}}}"#), Term::new(term))
    }

    #[test]
    fn a_restarted_process_is_not_the_holder_it_was() {
        assert!(held().is_held_by(&candidate("first start")));
        assert!(!held().is_held_by(&candidate("second start")));
    }

    #[test]
    fn a_vacated_record_keeps_its_term_and_says_when_it_was_vacated() {
        let url: HolderUrl = "http://web-0".parse().unwrap();
        let vacated = LeaseRecord { holder_url: Some(url), ..held() }.vacated(wall(9));
        assert_eq!((vacated.holder, vacated.holder_url), (None, None));
        assert_eq!(
            (vacated.term, vacated.renew_time.to_string()),
            (Term::new(7), wall(9).to_string())
        );
    }

    #[test]
    fn a_url_is_stored_with_its_holder_and_read_for_no_other() {
        let url: HolderUrl = "http://web-0:8080".parse().unwrap();
        let record = LeaseRecord { holder_url: Some(url.clone()), ..held() };
        let stored = record.stored_url().unwrap();
        let read = |record: LeaseRecord| record.with_stored_url(Some(&stored)).holder_url;
        assert_eq!(read(held()), Some(url));
        assert_eq!(read(LeaseRecord { holder: Some(candidate("second start")), ..held() }), None);
        assert_eq!(read(held().vacated(wall(9))), None);
        assert_eq!(held().stored_url(), None);
        assert_eq!(record.clone().with_stored_url(None).holder_url, None);
        assert_eq!(LeaseRecord { holder: None, ..record }.checked().holder_url, None);
    }

    #[test]
    fn a_handover_is_stored_and_shown_by_the_vacated_record_of_its_term_only() {
        let vacated = |handover| LeaseRecord { handover, ..held().vacated(wall(9)) };
        let record = vacated(handover(7));
        let stored = record.stored_handover().unwrap();
        let read = |record: LeaseRecord| record.with_stored_handover(Some(&stored)).handover;
        assert_eq!(read(vacated(None)), handover(7));
        assert_eq!(read(LeaseRecord { term: Term::new(8), ..vacated(None) }), None);
        assert_eq!(record.checked().handover, handover(7));
        assert_eq!(vacated(handover(6)).checked().handover, None, "of another term");
        let held = LeaseRecord { handover: handover(7), ..held() };
        assert_eq!(held.stored_handover(), None);
        assert_eq!(held.checked().handover, None, "a candidate holds the lease");
        assert_eq!(vacated(None).stored_handover(), None);
    }

    #[test]
    fn each_write_of_a_holder_differs_from_the_last_and_that_of_an_operator_does_not() {
        let paused = LeaseRecord { pause: Some(Pause::new(wall(5), None, None)), ..held() };
        assert!(paused.is_same_writing(&held()));
        let others = [
            LeaseRecord { renew_time: wall(2), ..held() },
            LeaseRecord { term: Term::new(8), ..held() },
            LeaseRecord { holder: Some(candidate("second start")), ..held() },
        ];
        assert!(others.iter().all(|other| !other.is_same_writing(&held())));
        let in_its_tenure = others.map(|other| other.is_same_tenure(&held()));
        assert_eq!(in_its_tenure, [true, false, false]);
    }

    #[test]
    fn a_record_is_free_without_a_holder_a_history_and_a_pause() {
        let free = held().vacated(wall(9));
        assert!(free.is_free());
        assert!(!held().is_free());
        assert!(!LeaseRecord { payload: Some("x".into()), ..free.clone() }.is_free());
        assert!(!LeaseRecord { pause: Some(Pause::new(wall(5), None, None)), ..free }.is_free());
    }

    #[test]
    fn every_write_but_a_renewal_changes_the_leader() {
        assert!(!held().changes_leader());
        assert!(held().vacated(wall(9)).changes_leader());
        assert!(LeaseRecord { renew_time: WallTime::EPOCH, ..held() }.changes_leader(), "acquired");
        let paused = LeaseRecord { pause: Some(Pause::new(wall(5), None, None)), ..held() };
        assert!(paused.changes_leader());
    }
}
