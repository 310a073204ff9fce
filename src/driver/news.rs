//! What an election tells the log: each change of leadership is one line.

use crate::election::elector::News;
use crate::election::lease::ElectionName;

pub(super) fn log(election: &ElectionName, url: Option<&str>, news: &News) {
    match news {
        News::Elected { term } => {
            tracing::info!(
                %election, term = term.get(), url, event = "elected",
                "elected: this instance leads"
            );
        }
        News::Lost { term, reason } => {
            let reason = reason.as_str();
            tracing::info!(
                %election, term = term.get(), reason, event = "lost",
                "this instance no longer leads"
            );
        }
        News::Vacated { term } => {
            tracing::info!(%election, term = term.get(), event = "vacated", "lease vacated")
        }
        News::Following { holder, term } => {
            tracing::info!(
                %election, term = term.get(), holder, event = "following",
                "another instance leads"
            );
        }
        News::TermWentBackwards { seen, record } => tracing::warn!(
            %election, seen = seen.get(), record = record.get(),
            event = "term_went_backwards",
            "the record's term went backwards: was a backup restored? \
             Waiting for a whole lease before standing again"
        ),
        News::Stranger { origin, own } => tracing::warn!(
            %election, %origin, %own,
            event = "foreign_record",
            "the record of this election was written in another environment, and both elect one \
             leader together: if that is not meant, give each its own --namespace or store"
        ),
        News::Copied(sign) => tracing::warn!(
            %election, sign = sign.as_str(), gap = ?sign.gap(),
            event = "paused_or_copied",
            "this process was paused or copied, and may not be the only one of its name: \
             going on under another, after its old lease"
        ),
        // Counted, and seen in the log as the store's trouble.
        News::Renewal(_) => {}
    }
}
