-- With the argument `new` each call asks for a path of its own, so that no proxy has seen it before; with `upload` each
-- has a body of 64 KiB.
init = function(arguments)
	if arguments[1] == "new" then
		local calls, start = 0, math.floor(os.time()) % 1000000
		request = function()
			calls = calls + 1
			return wrk.format(nil, wrk.path .. start .. "-" .. calls)
		end
	elseif arguments[1] == "upload" then
		local call = wrk.format("POST", nil, nil, string.rep("x", 65536))
		request = function()
			return call
		end
	end
end

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
