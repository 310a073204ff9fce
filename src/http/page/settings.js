// The store and the durations of this sidecar: compare these first when two instances lead.

/** What the URL of a store names. The sidecar removes secrets from it. */
const STORES = {
  sqlite: "SQLite file",
  postgres: "Postgres database",
  postgresql: "Postgres database",
  dynamodb: "DynamoDB table",
  kubernetes: "Kubernetes namespace",
};

function drawSettings({ store, leaseDurationSeconds, renewDeadlineSeconds, retryPeriodSeconds }) {
  const [scheme, place] = store.url.split(/:\/\/(.*)/s);
  text(byId("store-url"), place === undefined ? store.url : `${STORES[scheme] ?? scheme} ${place}`);
  title(byId("store-url"), scheme === "sqlite" ? `${store.url}: only processes on the sidecar's host share it` : store.url);
  text(byId("store-namespace"), store.namespace === null ? "" : `· namespace ${store.namespace}`);
  const seconds = (value) => `${value}\u00a0s`;
  text(
    byId("durations"),
    `· lease ${seconds(leaseDurationSeconds)}, renew deadline ${seconds(renewDeadlineSeconds)}, ` +
      `retry period ${seconds(retryPeriodSeconds)}`,
  );
}
