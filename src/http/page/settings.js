// Which store and which durations this sidecar has: the first thing to compare when two lead.

function drawSettings({ store, leaseDurationSeconds, renewDeadlineSeconds, retryPeriodSeconds }) {
  const place = store.url.startsWith("sqlite:") ? `${store.url} on this host` : store.url;
  text(byId("store-url"), place);
  text(byId("store-namespace"), store.namespace === null ? "" : `namespace ${store.namespace}`);
  const seconds = (value) => `${value}\u00a0s`;
  text(
    byId("durations"),
    `lease ${seconds(leaseDurationSeconds)}, renew deadline ${seconds(renewDeadlineSeconds)}, ` +
      `retry period ${seconds(retryPeriodSeconds)}`,
  );
}
