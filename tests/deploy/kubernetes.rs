//! The chart and the page about Kubernetes, by Kubernetes' own tools; and how a pod ends.

mod chart;
mod docs;
mod ends;
mod kustomize;
mod pods;
