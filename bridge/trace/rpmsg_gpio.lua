-- SPDX-License-Identifier: BSD-3-Clause
--
-- rpmsg_gpio.lua - virtio-gpio over rpmsg (docs/protocol.md), for Wireshark and tshark.
--
--     wireshark -X lua_script:rpmsg_gpio.lua x.pcapng
--     tshark -X lua_script:rpmsg_gpio.lua -r x.pcapng -Y 'rpmsg_gpio.line == 4'
--
-- It reads what `gpio-bridge trace -w` writes: link type USER0, each message behind the
-- header of 16 bytes that docs/trace.md describes.

local interface = Field.new("frame.interface_id")
local gpio = Proto("rpmsg_gpio", "virtio-gpio over rpmsg")

local KINDS = {
	[0] = "sent", [1] = "received", [2] = "sent again", [3] = "received again",
	[4] = "damaged frame", [5] = "timeout", [6] = "channel", [7] = "channel gone",
	[8] = "link up", [9] = "link down",
}
local SENT, RECEIVED, SENT_AGAIN, REPEATED, DAMAGED, TIMEOUT = 0, 1, 2, 3, 4, 5
local CHANNEL, CHANNEL_GONE, UP, DOWN = 6, 7, 8, 9

local TYPES = {
	[0x0001] = "GET_LINE_NAMES", [0x0002] = "GET_DIRECTION", [0x0003] = "SET_DIRECTION",
	[0x0004] = "GET_VALUE", [0x0005] = "SET_VALUE", [0x0006] = "SET_IRQ_TYPE",
	[0x7fff] = "probe",
	[0x8000] = "GET_FEATURES", [0x8001] = "SET_FEATURES", [0x8002] = "GET_CONFIG",
	[0x8003] = "GET_EPOCH", [0x8010] = "GRANT_CREDITS", [0x8020] = "GET_TIME",
	[0x8030] = "GET_VALUES", [0x8031] = "SET_VALUES", [0x8040] = "GET_LINE_CAPS",
	[0x8041] = "SET_LINE_CONFIG", [0x8050] = "GET_COUNTERS",
}
local OF_LINE = {
	[0x0002] = true, [0x0003] = true, [0x0004] = true, [0x0005] = true, [0x0006] = true,
	[0x8010] = true, [0x8040] = true, [0x8041] = true,
}
-- The length of the body of a request, and of a reply where that is fixed.
local BODY = { [0x8030] = 8, [0x8031] = 16, [0x8041] = 8 }
local REPLY_BODY = {
	[0x8000] = 8, [0x8002] = 40, [0x8003] = 4, [0x8010] = 8, [0x8020] = 8, [0x8030] = 8,
	[0x8040] = 8, [0x8050] = 20,
}
local DIRECTIONS = { [0] = "none", [1] = "out", [2] = "in" }
local IRQ_TYPES = {
	[0] = "none", [1] = "rising edge", [2] = "falling edge", [3] = "both edges",
	[4] = "level high", [8] = "level low",
}
local TAG, CREDITS, TIMESTAMP = 0x04, 0x10, 0x20

local f = {
	kind = ProtoField.uint8("rpmsg_gpio.kind", "Kind", base.DEC, KINDS),
	features = ProtoField.uint16("rpmsg_gpio.features", "Accepted features", base.HEX),
	source = ProtoField.uint32("rpmsg_gpio.source", "Address of the driver", base.HEX),
	address = ProtoField.uint32("rpmsg_gpio.address", "Address of the device", base.HEX),
	number = ProtoField.uint32("rpmsg_gpio.number", "Number of the record"),
	channel = ProtoField.string("rpmsg_gpio.channel", "Channel"),
	why = ProtoField.string("rpmsg_gpio.why", "Why"),
	type = ProtoField.uint16("rpmsg_gpio.type", "Type", base.HEX, TYPES),
	line = ProtoField.uint16("rpmsg_gpio.line", "Line"),
	value = ProtoField.uint32("rpmsg_gpio.value", "Value"),
	tag = ProtoField.uint16("rpmsg_gpio.tag", "Tag"),
	queue = ProtoField.uint8("rpmsg_gpio.queue", "Queue", base.DEC, { [0] = "requestq", [1] = "eventq" }),
	status = ProtoField.uint8("rpmsg_gpio.status", "Status", base.DEC, { [0] = "OK", [1] = "ERR" }),
	epoch = ProtoField.uint16("rpmsg_gpio.epoch", "Epoch", base.HEX),
	flags = ProtoField.uint8("rpmsg_gpio.event.flags", "Flags", base.HEX),
	high = ProtoField.bool("rpmsg_gpio.event.high", "Level high", 8, nil, 0x01),
	late = ProtoField.bool("rpmsg_gpio.event.late", "Late", 8, nil, 0x02),
	sequence = ProtoField.uint32("rpmsg_gpio.event.sequence", "Sequence"),
	timestamp = ProtoField.uint64("rpmsg_gpio.event.timestamp", "Timestamp of the device, ns"),
	body = ProtoField.bytes("rpmsg_gpio.body", "Body"),
	latency = ProtoField.double("rpmsg_gpio.latency", "Time since the request, s"),
	request = ProtoField.framenum("rpmsg_gpio.request", "Request in", base.NONE, frametype.REQUEST),
	reply = ProtoField.framenum("rpmsg_gpio.reply", "Reply in", base.NONE, frametype.RESPONSE),
}
gpio.fields = f

local function fault(name, text, group, severity)
	return ProtoExpert.new("rpmsg_gpio." .. name, text, group, severity)
end
local ERROR, WARN, NOTE = expert.severity.ERROR, expert.severity.WARN, expert.severity.NOTE
local MALFORMED, PROTOCOL = expert.group.MALFORMED, expert.group.PROTOCOL
local SEQUENCE = expert.group.SEQUENCE
local e = {
	length = fault("bad_length", "The length fits no form of the message", MALFORMED, ERROR),
	queue = fault("bad_queue", "Byte 0 is neither requestq nor eventq", MALFORMED, ERROR),
	status = fault("bad_status", "The status is neither OK nor ERR", PROTOCOL, ERROR),
	value = fault("bad_value", "The value is not defined", PROTOCOL, ERROR),
	flags = fault("bad_flags", "Flags that are not defined", PROTOCOL, ERROR),
	sequence = fault("bad_sequence", "The number is not ahead of the line's last one", SEQUENCE, ERROR),
	unasked = fault("unasked", "A reply that answers no request", SEQUENCE, ERROR),
	late = fault("late_reply", "A reply after the request was given up", SEQUENCE, WARN),
	gap = fault("gap", "Edges of the line are missing", SEQUENCE, NOTE),
	refused = fault("refused", "The request was refused", expert.group.RESPONSE_CODE, NOTE),
	timeout = fault("no_reply", "No reply until the deadline", SEQUENCE, WARN),
	again = fault("sent_again", "A frame that was on its way before", SEQUENCE, NOTE),
	damaged = fault("damaged", "A frame that was damaged on the line", expert.group.CHECKSUM, WARN),
	down = fault("link_down", "The link is dead", SEQUENCE, WARN),
}
gpio.experts = { e.length, e.queue, e.status, e.value, e.flags, e.sequence, e.unasked, e.late,
	e.gap, e.refused, e.timeout, e.again, e.damaged, e.down }

-- What must be known of earlier frames, found when they are dissected for the first time: by
-- frame number, the request or the reply, and the faults that depend on what came before.
local controllers, links, found

function gpio.init()
	controllers, links, found = {}, {}, {}
end

-- After a loss, or the beginning in the middle of something, for so long a reply may be to a
-- request that is not in the file.
local BLIND_S = 2.0

local function controller_of(link, address)
	local key = link .. "/" .. address
	controllers[key] = controllers[key] or
		{ tagged = {}, waiting = {}, given_up = {}, sequences = {}, types = {} }
	return controllers[key]
end

local function forget(c)
	c.tagged, c.waiting, c.sequences, c.types = {}, {}, {}, {}
end

local function forget_link(link)
	for key, c in pairs(controllers) do
		if key:sub(1, #link + 1) == link .. "/" then forget(c) end
	end
end

local function remember(pinfo, what)
	found[pinfo.number] = found[pinfo.number] or {}
	for key, value in pairs(what) do found[pinfo.number][key] = value end
end

-- The numbers of the records of a link: a gap is a loss.
local function follow(link, number, kind, now)
	local known = links[link]
	if number == 0 and kind == CHANNEL then return end
	if not known then
		links[link] = { next = number + 1, blind_until = number > 0 and now + BLIND_S or 0 }
		return
	end
	if known.next ~= number then
		known.blind_until = now + BLIND_S
		forget_link(link)
	end
	known.next = number + 1
end

local function describe(kind, line, value)
	local text = TYPES[kind] or string.format("type 0x%04x", kind)
	if OF_LINE[kind] then text = text .. " line " .. line end
	if kind == 0x0003 then text = text .. " " .. (DIRECTIONS[value] or value) end
	if kind == 0x0005 then text = text .. " " .. value end
	if kind == 0x0006 then text = text .. " " .. (IRQ_TYPES[value] or value) end
	return text
end

-- ---- requests -----------------------------------------------------------------

local function expect(c, request)
	if request.type == 0x8000 then forget(c) end
	if c.lost and request.type ~= 0x7fff and request.type ~= 0x0002 then
		c.lost, c.waiting = false, {}
	end
	if request.tag ~= 0 then
		c.given_up[request.tag] = nil
		c.tagged[request.tag] = request
	else
		table.insert(c.waiting, request)
	end
end

local function dissect_request(message, pinfo, tree, c, kind)
	local length = message:len()
	if length < 8 then
		tree:add_proto_expert_info(e.length)
		return "a request of " .. length .. " bytes"
	end
	local type, line, value = message(0, 2):le_uint(), message(2, 2):le_uint(), message(4, 4):le_uint()
	tree:add_le(f.type, message(0, 2))
	if OF_LINE[type] then tree:add_le(f.line, message(2, 2)) end
	tree:add_le(f.value, message(4, 4))
	local tag = 0
	if length >= 12 then
		tag = message(8, 2):le_uint()
		tree:add_le(f.tag, message(8, 2))
	end
	if length > 12 then tree:add(f.body, message(12)) end
	if kind ~= TIMEOUT and length >= 12 and length ~= 12 + (BODY[type] or 0) then
		tree:add_proto_expert_info(e.length)
	end
	if kind == SENT and not pinfo.visited then
		expect(c, {
			type = type, line = line, value = value, tag = tag, extended = length >= 12,
			frame = pinfo.number, time = pinfo.rel_ts,
		})
	elseif kind == TIMEOUT and not pinfo.visited then
		if tag ~= 0 then
			c.given_up[tag], c.tagged[tag] = c.tagged[tag], nil
		elseif #c.waiting > 0 then
			c.waiting, c.lost = {}, true
		end
	end
	local known = found[pinfo.number]
	if known and known.reply then tree:add(f.reply, known.reply):set_generated() end
	return describe(type, line, value)
end

-- ---- what the firmware says ------------------------------------------------------

local function answered(c, tag, extended)
	if tag ~= 0 then
		local request = c.tagged[tag]
		c.tagged[tag] = nil
		if request then return request end
		request, c.given_up[tag] = c.given_up[tag], nil
		return request, request ~= nil
	end
	if #c.waiting > 0 then return table.remove(c.waiting, 1) end
	if not extended then
		-- A request with a tag, answered as if there were none: the oldest one.
		local oldest
		for _, request in pairs(c.tagged) do
			if not oldest or request.frame < oldest.frame then oldest = request end
		end
		if oldest then c.tagged[oldest.tag] = nil end
		return oldest
	end
end

local function note_answer(c, request, status)
	if status ~= 0 then return end
	if request.type == 0x0006 then
		if c.types[request.line] ~= request.value then c.sequences[request.line] = nil end
		c.types[request.line] = request.value
	elseif request.type == 0x0003 and request.value == 0 then
		c.types[request.line] = nil
	elseif request.type == 0x8001 then
		c.sequences = {}
	end
end

local function dissect_reply(message, pinfo, tree, c, link)
	local length = message:len()
	local extended = length >= 8
	if not extended and length ~= 3 and length ~= 4 then
		tree:add_proto_expert_info(e.length)
		return "a reply of " .. length .. " bytes"
	end
	local at = length == 3 and 1 or 2
	local status, value = message(at, 1):uint(), message(at + 1, 1):uint()
	tree:add(f.status, message(at, 1))
	tree:add(f.value, message(at + 1, 1))
	local tag = extended and message(4, 2):le_uint() or 0
	if extended then
		tree:add_le(f.tag, message(4, 2))
		tree:add_le(f.epoch, message(6, 2))
	end
	if length > 8 then tree:add(f.body, message(8)) end
	if not pinfo.visited then
		local request, late = answered(c, tag, extended)
		if request then
			remember(pinfo, { request = request, late = late, latency = pinfo.rel_ts - request.time })
			found[request.frame] = found[request.frame] or {}
			found[request.frame].reply = pinfo.number
			note_answer(c, request, status)
		else
			local known = links[link]
			local seen = known and pinfo.rel_ts >= known.blind_until
			remember(pinfo, { unasked = seen and not c.lost })
		end
	end
	if status > 1 then tree:add_proto_expert_info(e.status) end
	local known = found[pinfo.number] or {}
	local word = status == 0 and "OK" or "ERR"
	local request = known.request
	if not request then
		if known.unasked then tree:add_proto_expert_info(e.unasked) end
		return word
	end
	if known.late then tree:add_proto_expert_info(e.late) end
	if status == 1 and request.type ~= 0x7fff then tree:add_proto_expert_info(e.refused) end
	if status == 0 and request.type == 0x0004 and value > 1 or
		status == 0 and request.type == 0x0002 and value > 2 then
		tree:add_proto_expert_info(e.value)
	end
	local body = REPLY_BODY[request.type]
	if status ~= 0 and length > 8 or
		status == 0 and extended and body and length ~= 8 + body then
		tree:add_proto_expert_info(e.length)
	end
	tree:add(f.type, request.type):set_generated()
	if OF_LINE[request.type] then tree:add(f.line, request.line):set_generated() end
	tree:add(f.latency, known.latency):set_generated()
	tree:add(f.request, request.frame):set_generated()
	if status == 0 and request.type == 0x0004 then word = word .. " " .. value end
	return word .. " (" .. describe(request.type, request.line, request.value) .. ")"
end

-- Faults of one record: what its number says, found when it is seen for the first time.
local function follow_sequence(c, line, sequence)
	local last = c.sequences[line]
	c.sequences[line] = sequence
	if not last then return end
	local ahead = (sequence - last) % 0x100000000
	if ahead == 0 or ahead >= 0x80000000 then return "sequence" end
	if ahead > 1 then return "gap" end
end

local function dissect_record(record, pinfo, tree, c, index)
	local flags, line = record(1, 1):uint(), record(2, 2):le_uint()
	local sub = tree:add(gpio, record(), "Event of line " .. line)
	local shown = sub:add(f.flags, record(1, 1))
	shown:add(f.high, record(1, 1))
	shown:add(f.late, record(1, 1))
	sub:add_le(f.line, record(2, 2))
	sub:add_le(f.sequence, record(4, 4))
	if record:len() == 16 then sub:add_le(f.timestamp, record(8, 8)) end
	if flags > 3 then sub:add_proto_expert_info(e.flags) end
	if not pinfo.visited then
		local bad = follow_sequence(c, line, record(4, 4):le_uint())
		if bad then remember(pinfo, { [index] = bad }) end
	end
	local bad = found[pinfo.number] and found[pinfo.number][index]
	if bad then sub:add_proto_expert_info(e[bad]) end
	return string.format("line %d %s", line, flags % 2 == 1 and "high" or "low")
end

local function dissect_events(message, pinfo, tree, c, features)
	local length = message:len()
	local timed = bit.band(features, TIMESTAMP) ~= 0
	local extended = timed or bit.band(features, CREDITS) ~= 0
	if not extended and (length == 3 or length == 4) then
		tree:add_le(f.line, message(length - 2, 2))
		return "EVENT line " .. message(length - 2, 2):le_uint()
	end
	local size = timed and 16 or 8
	if not extended or length % size ~= 0 then
		tree:add_proto_expert_info(e.length)
		return "an event of " .. length .. " bytes"
	end
	local texts = {}
	for at = 0, length - 1, size do
		table.insert(texts, dissect_record(message(at, size), pinfo, tree, c, at))
	end
	return (#texts == 1 and "EVENT " or #texts .. " EVENTS ") .. table.concat(texts, ", ")
end

local function dissect_received(message, pinfo, tree, c, link, features)
	local queue = message:len() > 0 and message(0, 1):uint()
	if queue then tree:add(f.queue, message(0, 1)) end
	if queue == 0 then return dissect_reply(message, pinfo, tree, c, link) end
	if queue == 1 then return dissect_events(message, pinfo, tree, c, features) end
	tree:add_proto_expert_info(e.queue)
	return "a message of no queue"
end

-- ---- records ---------------------------------------------------------------------

function gpio.dissector(buffer, pinfo, root)
	if buffer:len() < 16 or buffer(0, 1):uint() ~= 1 then return 0 end
	local kind, features = buffer(1, 1):uint(), buffer(2, 2):le_uint()
	local address, number = buffer(8, 4):le_uint(), buffer(12, 4):le_uint()
	local id = interface()
	local link = id and tostring(id.value) or ""
	pinfo.cols.protocol = "RPMSG-GPIO"
	local tree = root:add(gpio, buffer())
	tree:add(f.kind, buffer(1, 1))
	tree:add_le(f.features, buffer(2, 2))
	tree:add_le(f.source, buffer(4, 4))
	tree:add_le(f.address, buffer(8, 4))
	tree:add_le(f.number, buffer(12, 4))
	pinfo.cols.src = (kind == RECEIVED or kind == REPEATED) and string.format("device 0x%x", address)
		or "driver"
	pinfo.cols.dst = (kind == SENT or kind == SENT_AGAIN) and string.format("device 0x%x", address)
		or "driver"
	if not pinfo.visited then follow(link, number, kind, pinfo.rel_ts) end
	local c = controller_of(link, address)
	local message = buffer:len() > 16 and buffer(16):tvb() or ByteArray.new():tvb("empty")
	local info
	if kind == SENT or kind == SENT_AGAIN or kind == TIMEOUT then
		info = dissect_request(message, pinfo, tree, c, kind)
	elseif kind == RECEIVED then
		info = dissect_received(message, pinfo, tree, c, link, features)
	elseif kind == CHANNEL or kind == CHANNEL_GONE then
		tree:add(f.channel, message())
		info = KINDS[kind] .. " " .. message():string() .. string.format(" at 0x%x", address)
		if not pinfo.visited then forget(c) end
	elseif kind == DOWN then
		if message:len() > 0 then tree:add(f.why, message()) end
		tree:add_proto_expert_info(e.down)
		if not pinfo.visited then forget_link(link) end
		info = "link down: " .. (message:len() > 0 and message():string() or "")
	else
		info = KINDS[kind] or ("kind " .. kind)
	end
	if kind == SENT_AGAIN or kind == REPEATED then tree:add_proto_expert_info(e.again) end
	if kind == DAMAGED then tree:add_proto_expert_info(e.damaged) end
	if kind == TIMEOUT then
		tree:add_proto_expert_info(e.timeout)
		info = "no reply to " .. info
	elseif kind == SENT_AGAIN then
		info = info .. " (again)"
	end
	pinfo.cols.info = info
	return buffer:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, gpio)
