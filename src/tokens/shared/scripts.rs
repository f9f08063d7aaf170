//! What runs in Redis, each script as one step that nobody can come between.
//!
//! Nothing is believed of what is stored: a key of another type, a number that is none and a lease that would never end
//! count as not there.

use redis::Script;

/// The record and for how long it stays, in milliseconds. One that is larger than any token is none.
pub(super) const READ: &str = "
if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' or redis.call('STRLEN', KEYS[1]) > 65536 then
  return {false, 0}
end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";

/// The number of the lease `KEYS[1]` for the owner `ARGV[1]` and `ARGV[2]` milliseconds; nothing where another has it.
/// Numbers are the server's time in microseconds, so they go on after it has lost everything; `KEYS[2]` keeps them
/// rising where that clock is set back.
pub(super) const LEASE: &str = "
if redis.call('TYPE', KEYS[1])['ok'] == 'string' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 and left <= tonumber(ARGV[2]) then
    return false
  end
end
local time = redis.call('TIME')
local lease = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), number(KEYS[2]) + 1)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return string.format('%.0f', lease)";

/// Ends the lease `KEYS[1]` of the owner `ARGV[1]`, and writes its record `ARGV[3]` to `KEYS[3]` for `ARGV[4]`
/// milliseconds, unless one of a higher number than `ARGV[2]` has been written.
pub(super) const PUBLISH: &str = "
if redis.call('TYPE', KEYS[1])['ok'] == 'string' and redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
if number(KEYS[2]) <= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[4])
end
return redis.status_reply('OK')";

/// Ends the lease `KEYS[1]` of the owner `ARGV[1]`.
pub(super) const GIVE_BACK: &str = "
if redis.call('TYPE', KEYS[1])['ok'] == 'string' and redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return redis.status_reply('OK')";

/// Puts the message `ARGV[2]` of the owner `ARGV[1]` into `KEYS[1]`, and returns those of the others, each as owner, age in
/// milliseconds and message. One that is older than `ARGV[3]` milliseconds, or from the future, is removed.
pub(super) const EXCHANGE: &str = "
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'none' and (kind ~= 'hash' or redis.call('HLEN', KEYS[1]) > 1000) then
  redis.call('DEL', KEYS[1])
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ':' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local all = redis.call('HGETALL', KEYS[1])
local found = {}
for i = 1, #all, 2 do
  local colon = string.find(all[i + 1], ':', 1, true)
  local written = colon and tonumber(string.sub(all[i + 1], 1, colon - 1))
  local age = written and now - written
  if not age or age < 0 or age > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then
    table.insert(found, {all[i], age, string.sub(all[i + 1], colon + 1)})
  end
end
return found";

/// The number that a key holds. One beyond the year 2100 is none of ours.
const NUMBER: &str = "
local function number(key)
  if redis.call('TYPE', key)['ok'] ~= 'string' then
    return 0
  end
  local value = tonumber(redis.call('GET', key))
  if value and value > 0 and value < 4102444800000000 then
    return value
  end
  return 0
end";

/// A script that reads numbers.
pub(super) fn with_numbers(script: &str) -> Script {
    Script::new(&[NUMBER, script].concat())
}
