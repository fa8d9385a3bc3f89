;; What `snapshot` answers, put into `detector.wat` at `;;@state`. See `verdicts.wat` for the form.

;;; state out of bounds: bad_verdict
(return (i32.const -8))

;;; state at an odd place: bad_verdict
(return (i32.const 1281))

;;; neither state nor fault: bad_verdict
(i32.store8 (i32.const 1280) (i32.const 9))

;;; bytes of a state out of bounds: bad_verdict
(i32.store (i32.const 1288) (i32.const -4))

;;; state of 4 GiB: bad_verdict
(i32.store (i32.const 1292) (i32.const -1))

;;; state of 9 MiB: bad_verdict
(drop (memory.grow (i32.const 144))) (i32.store (i32.const 1292) (i32.const 9437184))

;;; state of 8 MiB and a byte: bad_verdict
(drop (memory.grow (i32.const 144))) (i32.store (i32.const 1292) (i32.const 8388609))

;;; state of 8 MiB: taken
(drop (memory.grow (i32.const 144))) (i32.store (i32.const 1292) (i32.const 8388608))

;;; empty state: taken
(i32.store (i32.const 1292) (i32.const 0))

;;; state of a schema from the future: taken
(i32.store (i32.const 1284) (i32.const -1))

;;; state that changes: taken
(i64.store (i32.const 1344) (i64.extend_i32_u (global.get $calls)))

;;; state of random bytes: taken
(i64.store (i32.const 1344) (i64.const 0x9e3779b97f4a7c15))

;;; state that is all of its memory: taken
(i32.store (i32.const 1288) (i32.const 0)) (i32.store (i32.const 1292) (i32.const 131072))
