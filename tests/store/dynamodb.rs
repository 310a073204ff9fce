//! DynamoDB behind a proxy that does harm: single calls, whole elections, real processes.

mod issuer;

mod answers;
mod calls;
mod credentials;
mod crowd;
mod dates;
mod descriptors;
mod elections;
mod fence;
mod messages;
mod once;
mod paused;
mod recovery;
mod tls;
mod wall_clocks;
