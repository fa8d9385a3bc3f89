;; What `observe` answers in a window with a value above 1000, put into `detector.wat` at `;;@observe`, once a good verdict lies in
;; memory. `$finding` adds a finding at 2048. A line that begins with `;;;` gives what comes below a name and says what becomes of
;; it: `taken`, or the reason that is counted.

;;; verdict out of bounds: bad_verdict
(return (i32.const -8))

;;; verdict at an odd place: bad_verdict
(return (i32.const 1217))

;;; neither verdict nor fault: bad_verdict
(i32.store8 (i32.const 1216) (i32.const 2))

;;; score for nothing: bad_verdict
(i32.store (i32.const 1224) (i32.const 3))

;;; no scores: bad_verdict
(i32.store (i32.const 1224) (i32.const 0))

;;; scores out of bounds: bad_verdict
(i32.store (i32.const 1220) (i32.const -16))

;;; scores at an odd place: bad_verdict
(i32.store (i32.const 1220) (i32.const 4097))

;;; 4 billion scores: bad_verdict
(i32.store (i32.const 1224) (i32.const -1))

;;; 256 MiB of scores: bad_verdict
(i32.store (i32.const 1224) (i32.const 33554432))

;;; score NaN: taken
(f64.store (i32.const 4096) (f64.const nan))

;;; score NaN with a payload: taken
(i64.store (i32.const 4096) (i64.const 0xfff4dead_beef1234))

;;; score -0: taken
(f64.store (i32.const 4096) (f64.const -0))

;;; score infinity: bad_verdict
(f64.store (i32.const 4096) (f64.const inf))

;;; score minus infinity: bad_verdict
(f64.store (i32.const 4096) (f64.const -inf))

;;; score below 0: bad_verdict
(f64.store (i32.const 4096) (f64.const -1e-300))

;;; score above 16: bad_verdict
(f64.store (i32.const 4096) (f64.const 16.000001))

;;; good finding: taken
(call $finding)

;;; good finding twice: taken
(call $finding) (memory.copy (i32.const 2200) (i32.const 2048) (i32.const 152))
(i32.store (i32.const 1232) (i32.const 2))

;;; findings out of bounds: bad_verdict
(i32.store (i32.const 1228) (i32.const -1024)) (i32.store (i32.const 1232) (i32.const 8))

;;; findings at an odd place: bad_verdict
(call $finding) (i32.store (i32.const 1228) (i32.const 2049))

;;; a million findings out of bounds: bad_verdict
(call $finding) (i32.store (i32.const 1232) (i32.const 1000000))

;;; 100,000 findings: bad_verdict
(drop (memory.grow (i32.const 240))) (call $finding) (i32.store (i32.const 1228) (i32.const 65536))
(i32.store (i32.const 1232) (i32.const 100000))

;;; severity that is none: bad_verdict
(call $finding) (i32.store8 (i32.const 2064) (i32.const 4))

;;; option that is none: bad_verdict
(call $finding) (i32.store8 (i32.const 2080) (i32.const 2))

;;; finding with score NaN: bad_verdict
(call $finding) (f64.store (i32.const 2072) (f64.const nan))

;;; finding with score infinity: bad_verdict
(call $finding) (f64.store (i32.const 2072) (f64.const inf))

;;; finding with score below 0: bad_verdict
(call $finding) (f64.store (i32.const 2072) (f64.const -1))

;;; observed NaN: bad_verdict
(call $finding) (i32.store8 (i32.const 2080) (i32.const 1)) (f64.store (i32.const 2088) (f64.const nan))

;;; expected infinity: bad_verdict
(call $finding) (i32.store8 (i32.const 2096) (i32.const 1)) (f64.store (i32.const 2104) (f64.const inf))

;;; lower bound minus infinity: bad_verdict
(call $finding) (i32.store8 (i32.const 2112) (i32.const 1)) (f64.store (i32.const 2120) (f64.const -inf))

;;; bounds the wrong way round: bad_verdict
(call $finding) (i32.store8 (i32.const 2112) (i32.const 1)) (f64.store (i32.const 2120) (f64.const 2))
(i32.store8 (i32.const 2128) (i32.const 1)) (f64.store (i32.const 2136) (f64.const 1))

;;; ids out of bounds: bad_verdict
(call $finding) (i32.store (i32.const 2048) (i32.const -4)) (i32.store (i32.const 2052) (i32.const 2))

;;; no id: bad_verdict
(call $finding) (i32.store (i32.const 2052) (i32.const 0))

;;; unknown id: bad_verdict
(call $finding) (i32.store (i32.const 1536) (i32.const 99))

;;; the same id twice: bad_verdict
(call $finding) (i32.store (i32.const 1540) (i32.const 2)) (i32.store (i32.const 2052) (i32.const 2))

;;; 65 ids: bad_verdict
(call $finding) (i32.store (i32.const 2052) (i32.const 65))

;;; a billion ids: bad_verdict
(call $finding) (i32.store (i32.const 2052) (i32.const 1000000000))

;;; empty kind: bad_verdict
(call $finding) (i32.store (i32.const 2060) (i32.const 0))

;;; kind with a capital: bad_verdict
(call $finding) (i32.store8 (i32.const 304) (i32.const 83))

;;; kind with a line feed: bad_verdict
(call $finding) (i32.store8 (i32.const 304) (i32.const 10))

;;; kind that is no UTF-8: bad_verdict
(call $finding) (i32.store8 (i32.const 304) (i32.const 255))

;;; kind of 64 characters: taken
(call $finding) (memory.fill (i32.const 8192) (i32.const 97) (i32.const 64))
(i32.store (i32.const 2056) (i32.const 8192)) (i32.store (i32.const 2060) (i32.const 64))

;;; kind of 65 characters: bad_verdict
(call $finding) (memory.fill (i32.const 8192) (i32.const 97) (i32.const 65))
(i32.store (i32.const 2056) (i32.const 8192)) (i32.store (i32.const 2060) (i32.const 65))

;;; summary out of bounds: bad_verdict
(call $finding) (i32.store (i32.const 2184) (i32.const -4))

;;; summary of 512 bytes: taken
(call $finding) (memory.fill (i32.const 8192) (i32.const 97) (i32.const 512))
(i32.store (i32.const 2184) (i32.const 8192)) (i32.store (i32.const 2188) (i32.const 512))

;;; summary of 513 bytes: bad_verdict
(call $finding) (memory.fill (i32.const 8192) (i32.const 97) (i32.const 513))
(i32.store (i32.const 2184) (i32.const 8192)) (i32.store (i32.const 2188) (i32.const 513))

;;; summary that is no UTF-8: bad_verdict
(call $finding) (i32.store8 (i32.const 320) (i32.const 192))

;;; summary with escapes and line feeds: taken
(call $finding) (i32.store (i32.const 2184) (i32.const 336)) (i32.store (i32.const 2188) (i32.const 22))

;;; evidence: taken
(call $finding) (i32.store (i32.const 2196) (i32.const 1))

;;; evidence out of bounds: bad_verdict
(call $finding) (i32.store (i32.const 2192) (i32.const -16)) (i32.store (i32.const 2196) (i32.const 2))

;;; evidence without a key: bad_verdict
(call $finding) (i32.store (i32.const 2196) (i32.const 1)) (i32.store (i32.const 2308) (i32.const 0))

;;; evidence with a key of 65 bytes: bad_verdict
(call $finding) (i32.store (i32.const 2196) (i32.const 1)) (i32.store (i32.const 2308) (i32.const 65))

;;; evidence with a value of 257 bytes: bad_verdict
(call $finding) (i32.store (i32.const 2196) (i32.const 1)) (i32.store (i32.const 2316) (i32.const 257))

;;; 17 pieces of evidence: bad_verdict
(call $finding) (i32.store (i32.const 2196) (i32.const 17))

;;; forecast: taken
(call $finding) (call $forecast (f64.const 1) (i64.const 0) (i64.const 0) (i64.const 0))

;;; forecast at the end of time: taken
(call $finding) (call $forecast (f64.const 1) (i64.const 0) (i64.const -1) (i64.const -1))

;;; forecast without a limit: bad_verdict
(call $finding) (call $forecast (f64.const nan) (i64.const 0) (i64.const 0) (i64.const 0))

;;; forecast for the past: bad_verdict
(call $finding) (call $forecast (f64.const 1) (i64.const -20000000000) (i64.const 0) (i64.const 0))

;;; forecast that is reached before its beginning: bad_verdict
(call $finding) (call $forecast (f64.const 1) (i64.const 9) (i64.const 8) (i64.const 10))

;;; forecast that is reached after its end: bad_verdict
(call $finding) (call $forecast (f64.const 1) (i64.const 8) (i64.const 10) (i64.const 9))

;;; 257 findings: bad_verdict
(call $many (i32.const 257) (i32.const 1) (i32.const 0) (i32.const 7))

;;; the fullest verdict: taken
(call $fullest)

;;; strings that share their place: bad_verdict
(call $many (i32.const 256) (i32.const 1) (i32.const 16) (i32.const 60000))
