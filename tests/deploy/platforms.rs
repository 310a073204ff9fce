//! The files of deploy/ for ECS, Elastic Beanstalk and Compose: checked by the tools of each, and
//! played with real processes in the order in which each platform starts and stops them.

mod engine;
mod field;
mod instance;
mod podman;
mod template;
mod tools;

mod beanstalk;
mod beanstalk_docker;
mod compose;
mod cron;
mod docs;
mod ecs;
mod ecs_files;
mod package;
mod push;
mod replicas;
mod systemd;
