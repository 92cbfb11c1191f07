-- What `scripts/bench` reads of a run of wrk: one line of JSON, times in microseconds.
done = function(summary, latency)
	local errors = summary.errors
	print(string.format(
		'{"requests": %d, "p50_us": %.1f, "p99_us": %.1f, "failed": %d}',
		summary.requests,
		latency:percentile(50),
		latency:percentile(99),
		errors.connect + errors.read + errors.write + errors.status + errors.timeout
	))
end
