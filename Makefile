# Nacre's build. `make help` lists the targets.
#
# A lane is one compiler with one set of flags. Each lane has its own objects in
# build/obj/LANE, so lanes never disturb each other and all of them may be built
# at once (make -j). Sources are found by wildcard: a new file needs no line here.
#
# Two people (or machines) in one tree take a build directory each: make B=/some/dir ...

B ?= build
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

# --- Tools: each may be given on the command line ---------------------------

ifeq ($(origin CC),default)
CC := clang-22
endif
AR           := ar
CLANG        ?= clang-22
GCC          ?= gcc
ARM64_CC     ?= aarch64-linux-gnu-gcc
ARM64_RUN    ?= qemu-aarch64 -L /usr/aarch64-linux-gnu
# wasi-sdk's users: make WASI_CC=$WASI_SDK/bin/clang WASI_SYSROOT=$WASI_SDK/share/wasi-sysroot
WASI_CC      ?= clang-22
WASI_SYSROOT ?=
WASM_OPT     ?= node_modules/.bin/wasm-opt
NODE         ?= node_modules/.bin/node
TSC          ?= node_modules/.bin/tsc
XXHASH_H     ?= /usr/include/xxhash.h
LZ4_DIR      ?= build/lz4
MONOCYPHER_DIR ?= build/monocypher
SYMBOLIZER   ?= /usr/lib/llvm-22/bin/llvm-symbolizer

# --- Sources, in the order of core/LEVELS -----------------------------------

MODULES  := base host log store segment vector text memtable merge db
LIB_SRC  := $(foreach m,$(MODULES),$(sort $(wildcard core/$m/*.c)))
CLI_SRC  := $(sort $(wildcard core/cli/*.c))
GLUE_SRC := $(sort $(wildcard wasm/*.c))
JS_SRC   := $(filter-out js/abi.gen.ts,$(shell find js -name '*.ts'))
HEADERS  := $(shell find core -name '*.h')

TEST_LIB_SRC := $(sort $(wildcard tests/lib/*.c))
JS_TESTS      := $(sort $(wildcard tests/js/*.test.ts tests/formats/*.test.ts))
BROWSER_TESTS := $(sort $(wildcard tests/browser/*.test.ts))

# --- Lanes ------------------------------------------------------------------

# Contraction into fused multiply-add is off: results must not depend on the host.
CFLAGS_ALL := -std=c11 -Wall -Wextra -Wconversion -Wshadow -Werror -ffp-contract=off \
              -Icore -Itests -isystem $(B)/vendor
WASI_FLAGS := --target=wasm32-wasi -Wno-deprecated $(if $(WASI_SYSROOT),--sysroot=$(WASI_SYSROOT))
WASI_LINK  := --no-wasm-opt -Wl,-z,stack-size=262144 -Wl,--stack-first

LANES := release native gcc arm64 wasm wasm-scalar fuzz tsan cover quick

CC_release      := $(CC)
CFLAGS_release  := -O2
CC_native       := $(CLANG)
CFLAGS_native   := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,integer \
                   -fno-sanitize=unsigned-shift-base -fsanitize-ignorelist=tests/lib/integer-ignore.txt \
                   -fno-sanitize-recover=all
LDFLAGS_native  := -fsanitize=address,undefined,integer
CC_fuzz         := $(CLANG)
# Without unsigned wraps: an id or epoch near 2^64 in a made-up file wraps, and nothing follows from it.
CFLAGS_fuzz     := $(CFLAGS_native) -fno-sanitize=integer -fsanitize=undefined,fuzzer-no-link
LDFLAGS_fuzz    := $(LDFLAGS_native) -fsanitize=fuzzer
CC_tsan         := $(CLANG)
CFLAGS_tsan     := -O1 -gline-tables-only -fsanitize=thread
LDFLAGS_tsan    := -fsanitize=thread
CC_cover        := $(CLANG)
CFLAGS_cover    := -O1 -fprofile-instr-generate -fcoverage-mapping
LDFLAGS_cover   := -fprofile-instr-generate
# For the fuzz target whose inputs are lawful: coverage only, fifteen times as fast.
CC_quick        := $(CLANG)
CFLAGS_quick    := -O2 -g -fsanitize-coverage=inline-8bit-counters,pc-table
LDFLAGS_quick   := -fsanitize=fuzzer
CC_gcc          := $(GCC)
CFLAGS_gcc      := -O2
CC_arm64        := $(ARM64_CC)
CFLAGS_arm64    := -O2
CC_wasm         := $(WASI_CC) $(WASI_FLAGS)
CFLAGS_wasm     := -O2 -msimd128
LDFLAGS_wasm    := $(WASI_LINK)
CC_wasm-scalar      := $(WASI_CC) $(WASI_FLAGS)
CFLAGS_wasm-scalar  := -O2
LDFLAGS_wasm-scalar := $(WASI_LINK)

# What runs seldom, or waits for files when it does: small where every visitor downloads it. (What
# each get, put, scan, search, flush and merge goes through stays with the others.)
COLD_base  := decimal json textform
COLD_host  := crypt_keys crypt_log crypt_pages holder lock_file pin_file vfs_crypt vfs_posix
COLD_log   := wal_walk
COLD_store := extents superblock version
COLD_segment := codes codes_writer fields fields_verify fields_writer salvage_iter shelf spare
COLD_vector := train
COLD_db    := archive backup backup_read bulk catalog changes commit conflict feed filter_json held house ingest \
              inspect keytext maintain mask open options own picks reader recover repair restore roster schema search_many \
              settle space spill stats survey tidy transaction value vectors verify
COLD_SRC   := wasm/exports.c $(foreach m,$(MODULES),$(addprefix core/$m/,$(addsuffix .c,$(COLD_$m))))
# In between: loops over what kernels do.
SMALL_SRC  := core/segment/writer.c core/db/filter.c core/db/search.c core/vector/codebook.c
# The compiler makes vectors and longer loops of what is worth it there only.
PLAIN_SRC  := $(filter-out core/vector/% core/base/checksum.c core/segment/block.c,$(LIB_SRC))

SETUP_native := setup-test
SETUP_fuzz   := setup-test
SETUP_tsan   := setup-test
SETUP_cover  := setup-test
SETUP_gcc    := setup-test
SETUP_arm64  := setup-test

# What is not ours, and is compiled in: XXHASH_H, LZ4_DIR and MONOCYPHER_DIR say where it comes from.
VENDOR := $(addprefix $(B)/vendor/,xxhash.h lz4.c lz4.h monocypher.c monocypher.h)

# $(call objects,LANE,SOURCES)
objects = $(patsubst %.c,$(B)/obj/$1/%.o,$2)
# $(call link,LANE) begins a recipe line
link = @echo "link $@"; $(CC_$1) $(LDFLAGS_$1)

# Generated sources lie in $(B)/gen wherever $(B) is, so they have a rule of their own.
define lane_rules
$(B)/obj/$1/%.o: %.c Makefile | $(VENDOR) $$(SETUP_$1)
	@mkdir -p $$(@D)
	@echo "$1 $$<"
	@$$(CC_$1) $$(CFLAGS_ALL) $$(CFLAGS_$1) -MMD -MP -c $$< -o $$@
$(B)/obj/$1/gen/%.o: $(B)/gen/%.c Makefile
	@mkdir -p $$(@D)
	@$$(CC_$1) $$(CFLAGS_ALL) $$(CFLAGS_$1) -MMD -MP -c $$< -o $$@
endef
$(foreach l,$(LANES),$(eval $(call lane_rules,$l)))
$(foreach l,wasm wasm-scalar,\
    $(eval $(call objects,$l,$(COLD_SRC)): CFLAGS_$l += -Oz)\
    $(eval $(call objects,$l,$(SMALL_SRC)): CFLAGS_$l += -Os)\
    $(eval $(call objects,$l,$(PLAIN_SRC)): CFLAGS_$l += -fno-unroll-loops -fno-vectorize -fno-slp-vectorize))
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

$(B)/vendor/xxhash.h: | setup-compiler
	@mkdir -p $(@D)
	@cp $(XXHASH_H) $@
$(B)/vendor/lz4.%: | setup-compiler
	@mkdir -p $(@D)
	@cp $(LZ4_DIR)/$(@F) $@
# Its functions become static, so that a program may have its own; hashes and curves are left out.
$(B)/vendor/monocypher.%: | setup-compiler
	@mkdir -p $(@D)
	@sed -E -e '/^\/\/\/ BLAKE2 b/,/^\/\/\/ Authenticated/d' \
	    -e '/^\/\/ General purpose hash/,/^\/\/ Chacha20/d' -e '/^\/\/ Elligator 2/,/seed\[32\]\);/d' -e 's/\bzero\b/zero_block/g' \
	    -e 's/^(extern )?(const +crypto_|(void|int|u32|u64|uint32_t|uint64_t) +crypto_)/static \2/' \
	    $(MONOCYPHER_DIR)/$(@F) > $@

# --- What is built ----------------------------------------------------------

.PHONY: all lib command amalgamation wasm js package demo bench bench-vectors clean help

all: lib command ## the library, the nacre command and the WASI command (default)
command: $(if $(CLI_SRC),$(B)/nacre $(B)/nacre.wasm) ## build/nacre and build/nacre.wasm
lib: $(B)/libnacre.a $(B)/nacre.h ## build/libnacre.a and build/nacre.h

LIB_OBJ := $(call objects,release,$(LIB_SRC))
$(B)/libnacre.a: $(LIB_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(LIB_OBJ)
	@echo "ar   $@"

$(B)/nacre.h: $(wildcard core/nacre.h)
	@mkdir -p $(@D)
	@$(if $<,cp $< $@,:)

$(B)/nacre: $(call objects,release,$(CLI_SRC)) $(B)/libnacre.a
	$(call link,release) $^ -lm -o $@

$(B)/nacre.wasm: $(call objects,wasm,$(CLI_SRC) $(LIB_SRC))
	$(call link,wasm) $^ -o $@

amalgamation: $(B)/amalgamation/nacre.c ## build/amalgamation/nacre.c and nacre.h: the library as two files
$(B)/amalgamation/nacre.c: $(LIB_SRC) $(HEADERS) core/amalgamate.awk $(B)/nacre.h $(VENDOR)
	@mkdir -p $(@D)
	@cp $(B)/nacre.h $(@D)/nacre.h
	@awk -v vendor=$(B)/vendor -f core/amalgamate.awk $(LIB_SRC) > $@
	@echo "made $@"

# The reactors: what a C file marks with export_name is exported, nothing else.
WASM_FEATURES := --enable-bulk-memory --enable-bulk-memory-opt --enable-sign-ext \
                 --enable-mutable-globals --enable-nontrapping-float-to-int \
                 --enable-multivalue --enable-reference-types
REACTORS := $(if $(GLUE_SRC),$(B)/wasm/nacre.wasm $(B)/wasm/nacre-scalar.wasm)
wasm: $(REACTORS) ## build/wasm/nacre.wasm (SIMD) and nacre-scalar.wasm: the modules of the package

$(B)/wasm/linked/nacre.wasm: $(call objects,wasm,$(GLUE_SRC) $(LIB_SRC))
	@mkdir -p $(@D)
	$(call link,wasm) -mexec-model=reactor $^ -o $@
$(B)/wasm/linked/nacre-scalar.wasm: $(call objects,wasm-scalar,$(GLUE_SRC) $(LIB_SRC))
	@mkdir -p $(@D)
	$(call link,wasm-scalar) -mexec-model=reactor $^ -o $@
$(B)/wasm/nacre.wasm: WASM_FEATURES += --enable-simd
$(B)/wasm/%.wasm: $(B)/wasm/linked/%.wasm | setup-npm
	@echo "opt  $@"
	@$(WASM_OPT) -O3 $(WASM_FEATURES) --strip-debug --strip-producers --strip-target-features $< -o $@

# --- The package ------------------------------------------------------------

js: $(if $(JS_SRC),$(B)/js.stamp) ## build/js: the compiled TypeScript beside both modules
$(B)/js.stamp: $(JS_SRC) js/bundle.mjs js/tsconfig.json $(REACTORS) $(if $(wildcard wasm/abi-gen.mjs),js/abi.gen.ts) | setup-npm
	@echo "tsc  $(B)/js"
	@$(TSC) -p js/tsconfig.json --outDir $(B)/js
	@$(if $(REACTORS),cp $(REACTORS) $(B)/js/)
	@$(NODE) js/bundle.mjs $(B)/js
	@touch $@

# Committed, so that the TypeScript can be read and run without the build.
ABI_HEADERS := wasm/abi.h core/nacre.h core/base/limits.h core/host/lock_format.h \
               core/memtable/record_format.h core/db/keycode_format.h core/db/filter_format.h \
               core/db/schema_format.h
ifneq ($(wildcard wasm/abi-gen.mjs),)
js/abi.gen.ts: wasm/abi-gen.mjs $(ABI_HEADERS) | setup-npm
	@$(NODE) wasm/abi-gen.mjs $(ABI_HEADERS) > $@.tmp
	@mv $@.tmp $@
endif

package: | setup-npm ## build/nacre.tgz, as npm would publish it
	@rm -rf $(B)/js $(B)/js.stamp
	@$(MAKE) --no-print-directory js
	@npm pack --silent --pack-destination $(B) >/dev/null
	@mv $(B)/nacre-*.tgz $(B)/nacre.tgz
	@echo "made $(B)/nacre.tgz"

demo: ## writes 5 000 real texts, is killed, recovers, and answers questions
	@$(SUB) $(JOBS) -Otarget all js
	@$(NODE) examples/demo/demo.mjs

bench: all js | setup-npm ## measures (tests/bench)
	@$(NODE) tests/bench/run.mjs
bench-vectors: lib js | setup-npm ## measures searches beside hnswlib, usearch and others, and plots recall against latency
	@$(NODE) tests/bench/search.mjs

# --- Setting up: installs what is missing, says so, and is quick when nothing is

.PHONY: setup setup-compiler setup-npm setup-test
setup: ## installs all that the tests need
	@tests/setup.sh compiler npm test
setup-compiler:
	@tests/setup.sh compiler
setup-npm:
	@tests/setup.sh npm
setup-test:
	@tests/setup.sh test

# --- Tests ------------------------------------------------------------------

.PHONY: test test-js test-browser test-all-js coverage mutants crash-states crash-long faults-long repair-long bits-long kill-long memory-long keys-long filters-long histories-long checks lanes test-programs FORCE

# FILTER=text runs the tests whose name contains it; TEST_SEED=n changes the seed.
TEST_ARGS = $(if $(TEST_SEED),--seed $(TEST_SEED)) $(FILTER)
NPROC := $(shell nproc 2>/dev/null || echo 2)
JOBS   = $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(NPROC))
SUB    = $(MAKE) --no-print-directory
KINDS := $(foreach k,core crash,$(if $(wildcard tests/$k/*_test.c),$k))

.PRECIOUS: $(B)/gen/%_tests.c $(B)/wasm/linked/%.wasm
# The table of suites: tests/core/NAME_test.c defines void NAME_test(void).
$(B)/gen/%_tests.c: FORCE
	@mkdir -p $(@D)
	@{ echo '#include "lib/check.h"'; \
	   for s in $(patsubst %_test.c,%,$(notdir $(sort $(wildcard tests/$*/*_test.c)))); do \
	       echo "void $${s}_test(void);"; done; \
	   echo 'const CheckSuite check_suites[] = {'; \
	   for s in $(patsubst %_test.c,%,$(notdir $(sort $(wildcard tests/$*/*_test.c)))); do \
	       echo "    {\"$$s\", $${s}_test},"; done; \
	   echo '    {0},'; echo '};'; } > $@.tmp
	@if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi

# Every function of nacre.h as a table, for the tests of bad arguments.
$(B)/gen/api_functions.c: core/nacre.h tests/lib/functions.awk
	@mkdir -p $(@D)
	@awk -f tests/lib/functions.awk $< > $@
# Real vectors, likewise (tests/lib/real_vectors.h has the sizes).
$(B)/gen/real_vectors.c: tests/lib/real-vectors.sh examples/data/packages.i8.npy tests/data/sift.u8.npy tests/data/digits.u8.npy
	@mkdir -p $(@D)
	@$< packages:153600:examples/data/packages.i8.npy sift:51200:tests/data/sift.u8.npy \
	    digits:156800:tests/data/digits.u8.npy > $@.tmp
	@mv $@.tmp $@
GEN_core := api_functions real_vectors

TEST_LANES := native gcc arm64 wasm wasm-scalar
SUFFIX_wasm        := .wasm
SUFFIX_wasm-scalar := .wasm
LIBS_native := -lm
LIBS_gcc    := -lm
LIBS_arm64  := -lm
LIBS_cover  := -lm
programs = $(foreach k,$(KINDS),$(B)/$1/$k-tests$(SUFFIX_$1))

define test_program # LANE, KIND
$(B)/$1/$2-tests$(SUFFIX_$1): $(call objects,$1,$(sort $(wildcard tests/$2/*.c)) $(TEST_LIB_SRC) $(LIB_SRC)) $(B)/obj/$1/gen/$2_tests.o $(foreach g,$(GEN_$2),$(B)/obj/$1/gen/$g.o)
	@mkdir -p $$(@D)
	$$(call link,$1) $$^ $$(LIBS_$1) -o $$@
endef
$(foreach l,$(TEST_LANES) cover,$(foreach k,$(KINDS),$(eval $(call test_program,$l,$k))))

test-programs: $(foreach l,$(TEST_LANES),$(call programs,$l))

# What a program prints is kept in $(B)/printed/LANE as well, for crash-states to add up.
# $(call run_native,LANE,RUNNER): each program gets an empty directory of its own.
define run_native
	@mkdir -p $(B)/printed; rm -f $(B)/printed/$1*; for p in $(call programs,$1); do echo "== $1: $$p"; d=$$(mktemp -d); \
	    { $2 $$p --dir $$d $(TEST_ARGS) || touch $(B)/printed/$1.failed; } | tee -a $(B)/printed/$1; rm -rf $$d; done; \
	    test ! -e $(B)/printed/$1.failed
endef
# $(call run_wasm,LANE,RUNNER,NAME): the runner preopens an empty directory as /tmp.
define run_wasm
	@mkdir -p $(B)/printed; rm -f $(B)/printed/$1-$3*; for p in $(call programs,$1); do echo "== $1 in $3: $$p"; \
	    { $2 $$p --dir /tmp $(TEST_ARGS) || touch $(B)/printed/$1-$3.failed; } | tee -a $(B)/printed/$1-$3; done; \
	    test ! -e $(B)/printed/$1-$3.failed
endef

LANE_TESTS := test-fuzz test-tsan test-native test-gcc test-arm64 test-wasm-node test-wasm-scalar-node test-wasmtime
.PHONY: $(LANE_TESTS)
test-native: $(call programs,native) ## C tests under ASan and UBSan
	$(call run_native,native,ASAN_SYMBOLIZER_PATH=$(SYMBOLIZER) UBSAN_OPTIONS=print_stacktrace=1)
test-gcc: $(call programs,gcc) ## C tests built by gcc
	$(call run_native,gcc)
test-arm64: $(call programs,arm64) ## C tests on ARM64, in qemu
	$(call run_native,arm64,TEST_EMULATED=1 $(ARM64_RUN))
test-wasm-node: $(call programs,wasm) test-wasm-scalar-node | setup-npm ## C tests as WebAssembly in Node, SIMD and scalar
	$(call run_wasm,wasm,$(NODE) --no-warnings tests/lib/wasm-run.mjs,Node)
test-wasm-scalar-node: $(call programs,wasm-scalar) | setup-npm
	$(call run_wasm,wasm-scalar,$(NODE) --no-warnings tests/lib/wasm-run.mjs,Node)
test-wasmtime: $(call programs,wasm) | setup-test ## C tests as WebAssembly in wasmtime
	$(call run_wasm,wasm,build/venv/bin/python tests/lib/wasmtime-run.py,wasmtime)
	@$(if $(FILTER),,build/venv/bin/python tests/crash/kill_wasmtime.py $(B)/wasm/crash-tests.wasm)

# Two threads, each with its own databases: the library shares nothing (rule 4 of nacre.h).
$(B)/tsan/two_databases: $(call objects,tsan,tests/threads/two_databases.c $(LIB_SRC))
	@mkdir -p $(@D)
	$(call link,tsan) $^ -lm -o $@
test-tsan: $(B)/tsan/two_databases ## two databases in two threads, under ThreadSanitizer
	@d=$$(mktemp -d); TSAN_OPTIONS=halt_on_error=1 $< $$d; status=$$?; rm -rf $$d; exit $$status

# What the format tests run besides the command: make_golden natively and as WebAssembly.
FORMAT_TOOLS := $(addprefix $(B)/formats/,make_golden make_golden.wasm xxh3_vectors key_vectors)
$(B)/formats/make_golden: $(call objects,release,tests/formats/make_golden.c) $(B)/libnacre.a
	@mkdir -p $(@D)
	$(call link,release) $^ -lm -o $@
$(B)/formats/make_golden.wasm: $(call objects,wasm,tests/formats/make_golden.c $(LIB_SRC))
	@mkdir -p $(@D)
	$(call link,wasm) $^ -o $@
$(B)/formats/key_vectors: $(call objects,release,tests/formats/key_vectors.c) $(B)/libnacre.a
	@mkdir -p $(@D)
	$(call link,release) $^ -lm -o $@
$(B)/formats/xxh3_vectors: $(call objects,release,tests/formats/xxh3_vectors.c)
	@mkdir -p $(@D)
	$(call link,release) $^ -o $@

# The native side of tests/js/readers.test.ts.
READER_TOOL := $(B)/readers/beside
$(READER_TOOL): $(call objects,release,tests/readers/beside.c) $(B)/libnacre.a
	@mkdir -p $(@D)
	$(call link,release) $^ -lm -o $@

# --- Fuzzing (tests/fuzz/README.md) -----------------------------------------

FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_LIB_SRC := $(filter-out tests/fuzz/fuzz_%.c,$(sort $(wildcard tests/fuzz/*.c)))
# Coverage of the harness, of checksums and of distances would only cost time.
FUZZ_BLIND   := $(FUZZ_LIB_SRC) tests/lib/model.c tests/lib/sim_disk.c core/base/checksum.c \
                $(filter core/vector/%,$(LIB_SRC))
FUZZ_OBJ     := $(call objects,native,$(FUZZ_BLIND)) $(call objects,fuzz,$(filter-out $(FUZZ_BLIND),$(LIB_SRC)) \
                $(addprefix core/cli/,import.c files.c values.c print.c))
FUZZ_ENV     := ASAN_SYMBOLIZER_PATH=$(SYMBOLIZER) ASAN_OPTIONS=allocator_may_return_null=1 \
                UBSAN_OPTIONS=print_stacktrace=1
FUZZ_FLAGS   := -timeout=300 -rss_limit_mb=3000 -max_len=3000 -len_control=0
# Long runs of these are without ASan and UBSan; test-fuzz replays their corpora under them.
FUZZ_QUICK     := api
FUZZ_FLAGS_api := -max_len=400
# Executions in make test: about five seconds of each, the same ones every time.
FUZZ_RUNS          ?= 20000
FUZZ_RUNS_api      ?= 200
FUZZ_RUNS_catalog  ?= 3000
FUZZ_RUNS_database ?= 400
FUZZ_RUNS_import   ?= 2500
FUZZ_RUNS_log      ?= 800
FUZZ_RUNS_repair   ?= 150
FUZZ_RUNS_restore  ?= 600

.SECONDARY: $(foreach t,$(FUZZ_TARGETS),$(B)/obj/fuzz/tests/fuzz/fuzz_$t.o)
$(B)/fuzz/lib.a: $(FUZZ_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^
$(B)/fuzz/%: $(B)/obj/fuzz/tests/fuzz/fuzz_%.o $(B)/fuzz/lib.a
	$(call link,fuzz) $^ -lm -o $@
$(B)/fuzz/quick.a: $(call objects,release,tests/lib/model.c tests/lib/sim_disk.c) $(call objects,quick,$(LIB_SRC))
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^
$(B)/fuzz/%-quick: $(B)/obj/quick/tests/fuzz/fuzz_%.o $(B)/fuzz/quick.a
	$(call link,quick) $^ -lm -o $@

.PHONY: fuzz fuzz-programs test-fuzz
fuzz-programs: $(addprefix $(B)/fuzz/,$(FUZZ_TARGETS))
# What is new goes into build/fuzz/corpus; an input that fails is left in build/fuzz.
fuzz: $(B)/fuzz/$(TARGET)$(if $(filter $(TARGET),$(FUZZ_QUICK)),-quick) ## TARGET=where TIME=600: fuzzes one of tests/fuzz for so many seconds
	@mkdir -p $(B)/fuzz/corpus/$(TARGET)
	@$(FUZZ_ENV) $< $(FUZZ_FLAGS) $(FUZZ_FLAGS_$(TARGET)) -max_total_time=$(or $(TIME),600) -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/corpus/$(TARGET) tests/fuzz/corpus/$(TARGET)

test-fuzz: fuzz-programs ## replays tests/fuzz/corpus, and a fixed number of new inputs of each target
	@status=0; $(foreach t,$(FUZZ_TARGETS),d=$$(mktemp -d); \
	    if $(FUZZ_ENV) $(B)/fuzz/$t $(FUZZ_FLAGS) $(FUZZ_FLAGS_$t) -runs=$(or $(FUZZ_RUNS_$t),$(FUZZ_RUNS)) -seed=1 \
	        -artifact_prefix=$(B)/fuzz/ $$d tests/fuzz/corpus/$t > $(B)/fuzz/$t.out 2>&1; \
	    then echo "fuzz $t: $$(tail -n 1 $(B)/fuzz/$t.out)"; \
	    else tail -n 60 $(B)/fuzz/$t.out; echo "fuzz $t: failed, see above"; status=1; fi; rm -rf $$d;) exit $$status

.PHONY: golden
golden: command $(FORMAT_TOOLS) | setup-npm ## writes tests/formats/golden/v2 anew: for a meant change of format
	@B=$(B) $(NODE) --no-warnings tests/formats/golden.ts

# $(call node_test,FILES,NAME)
node_test = @$(if $(strip $1),$(NODE) --test --no-warnings $1,echo "no $2 tests yet")
test-js: all js $(FORMAT_TOOLS) $(READER_TOOL) | setup-npm ## JavaScript and file format tests in Node
	$(call node_test,$(JS_TESTS),JavaScript)
# The package's own suites with a database of another realm in place of each (tests/lib/remote-hooks.mjs).
# Left out: what opens files by itself or counts system calls, histories (their recorder takes a call for
# done where it is made), and tests in which the same realm has the database open synchronously, too.
REMOTE_TESTS := $(patsubst %,tests/js/%.test.ts,arguments backup batch bulk changes checkpoint collection elements \
                errors kv level search transaction ttl)
.PHONY: test-remote
test-remote: all js | setup-npm ## the JavaScript tests over databases that another realm serves
	@$(NODE) --test --no-warnings --import ./tests/lib/remote-hooks.mjs --test-skip-pattern="synchronous ones get BUSY" \
	    --test-skip-pattern="two faces of one database" --test-skip-pattern="moment of a signal" $(REMOTE_TESTS)
test-browser: all js | setup-test ## browser tests in Chromium and Firefox
	$(call node_test,$(BROWSER_TESTS),browser)
.PHONY: test-browser-level
test-browser-level: js | setup-npm setup-test ## the suite of abstract-level in both browsers: 700 databases in each place
	@LEVEL_SUITE=1 $(NODE) --test --no-warnings tests/browser/suites.test.ts
# ACCIDENTS and ROUNDS are other numbers.
.PHONY: test-tabs test-browser-kill bench-browser
test-tabs: js | setup-npm setup-test ## eight tabs, 500 reloads and other accidents each, in both browsers
	@TAB_ACCIDENTS=$(or $(ACCIDENTS),4000) $(NODE) --test --no-warnings --test-name-pattern="eight tabs" tests/browser/tabs.test.ts
test-browser-kill: js | setup-npm setup-test ## 200 times the whole browser is killed while tabs write, in both
	@KILL_ROUNDS=$(or $(ROUNDS),200) $(NODE) --test --no-warnings --test-name-pattern="killed" tests/browser/tabs.test.ts
bench-browser: js | setup-npm setup-test ## what take-overs and followers cost, in both browsers
	@$(NODE) --no-warnings tests/bench/browser.ts
test-all-js: all js $(FORMAT_TOOLS) $(READER_TOOL)
	$(call node_test,$(JS_TESTS) $(BROWSER_TESTS),JavaScript)

# Each state was recovered by itself: those with equal bytes are not counted again.
CRASH_STATES_MIN := 100000
crash-states: ## adds up the crash states that the lanes have recovered, and wants enough of them
	@awk -v least=$(CRASH_STATES_MIN) '/^# crash states: / {n += $$4; lane[FILENAME] += $$4} \
	    END {for (l in lane) {name = l; sub(/.*\//, "", name); printf "%s: %d crash states\n", name, lane[l]}; \
	    printf "crash-states: %d recovered in all lanes\n", n; exit n < least}' $(B)/printed/*

# STATES=n is another number; CORES=n of them work; what was done is kept, and not done again.
crash-long: $(B)/gcc/crash-tests ## ten million crash states, spread over cores, resumable
	@tests/crash/long.sh $< $(B)/crash-long $(or $(STATES),10000000)

faults-long: $(B)/gcc/crash-tests ## each call and each allocation fails, none left out
	@d=$$(mktemp -d); CRASH_ALL=1 $< --dir $$d $(if $(TEST_SEED),--seed $(TEST_SEED)) fault/ && \
	    CRASH_ALL=1 $< --dir $$d $(if $(TEST_SEED),--seed $(TEST_SEED)) lies/; status=$$?; rm -rf $$d; exit $$status

bits-long: $(B)/gcc/crash-tests ## each bit of a database and its logs flips, each block is zeroed, many are swapped
	@d=$$(mktemp -d); CRASH_ALL=1 $< --dir $$d $(if $(TEST_SEED),--seed $(TEST_SEED)) bits/ && \
	    CRASH_ALL=1 $< --dir $$d $(if $(TEST_SEED),--seed $(TEST_SEED)) damage/; status=$$?; rm -rf $$d; exit $$status

# ROUNDS is another number.
kill-long: $(B)/gcc/crash-tests $(B)/wasm/crash-tests.wasm js | setup-npm setup-test ## a thousand real SIGKILLs natively, in Node and in wasmtime
	@d=$$(mktemp -d); KILL_ROUNDS=$(or $(ROUNDS),1000) $< --dir $$d kill/; status=$$?; rm -rf $$d; \
	    KILL_ROUNDS=$(or $(ROUNDS),1000) $(NODE) --test --no-warnings tests/js/kill.test.ts && \
	    build/venv/bin/python tests/crash/kill_wasmtime.py $(B)/wasm/crash-tests.wasm $(or $(ROUNDS),1000) && exit $$status

repair-long: $(B)/gcc/crash-tests ## a thousand faults, each found and repaired
	@d=$$(mktemp -d); REPAIR_FAULTS=$(or $(FAULTS),1000) $< --dir $$d $(if $(TEST_SEED),--seed $(TEST_SEED)) repair/; status=$$?; rm -rf $$d; exit $$status

# HISTORIES is another number, TEST_SEED=n takes other ones.
histories-long: js | setup-npm ## ten thousand histories of readers and writers: are they snapshot isolation?
	@HISTORIES=$(or $(HISTORIES),10000) $(if $(TEST_SEED),TEST_SEED=$(TEST_SEED)) $(NODE) --test --no-warnings tests/js/histories.test.ts

# MEMORY_MIB and DATA_MIB are others' sizes.
memory-long: $(B)/gcc/core-tests $(B)/wasm/core-tests.wasm | setup-npm ## 1 GiB of data in a budget of 64 MiB, natively and as WebAssembly
	@export NACRE_MEMORY_MIB=$(or $(MEMORY_MIB),64) NACRE_DATA_MIB=$(or $(DATA_MIB),1024); \
	    d=$$(mktemp -d); $< --dir $$d a12_; status=$$?; rm -rf $$d; \
	    $(NODE) --no-warnings tests/lib/wasm-run.mjs $(B)/wasm/core-tests.wasm --dir /tmp a12_ && exit $$status

# KEYS is another number, TEST_SEED=n takes other ones.
keys-long: $(B)/gcc/core-tests $(B)/formats/key_vectors | setup-npm ## ten million pairs of keys, in C and in TypeScript
	@export NACRE_KEYS=$(or $(KEYS),10000000) $(if $(TEST_SEED),NACRE_SEED=$(TEST_SEED)); \
	    $< $(if $(TEST_SEED),--seed $(TEST_SEED)) order_of_bytes && $(NODE) --test --no-warnings tests/formats/keys.test.ts

# TREES is another number, TEST_SEED=n takes other ones.
filters-long: $(B)/gcc/core-tests ## a million random filters: do indexes tell what rows say?
	@d=$$(mktemp -d); NACRE_TREES=$(or $(TREES),1000000) $< --dir $$d $(if $(TEST_SEED),--seed $(TEST_SEED)) indexed/; status=$$?; rm -rf $$d; exit $$status

# What core and crash tests run, by branches, against the floors in tests/coverage; MISSING=core/log
# lists what they do not. Fewer crash states than elsewhere: they differ in bytes, not in code.
LLVM_COV      ?= llvm-cov-22
LLVM_PROFDATA ?= llvm-profdata-22
coverage: $(call programs,cover) | setup-npm ## how much of the core the C tests run, file by file
	@rm -rf $(B)/cover/raw; mkdir -p $(B)/cover/raw; for p in $^; do d=$$(mktemp -d); \
	    CRASH_STATES=$(or $(STATES),6000) KILL_ROUNDS=2 LLVM_PROFILE_FILE=$(B)/cover/raw/%m-%p.profraw $$p --dir $$d > $$p.txt 2>&1 || \
	    { tail -n 1 $$p.txt; grep '^not ok' $$p.txt; exit 1; }; rm -rf $$d; done
	@$(LLVM_PROFDATA) merge -sparse $(B)/cover/raw/*.profraw -o $(B)/cover/all.profdata
	@$(NODE) tests/coverage/report.mjs $(LLVM_COV) $(B)/cover/all.profdata $^

mutants: | setup ## breaks the code on purpose and expects the tests to notice
	@tests/mutants.sh

# One after another: install, check, build and run every C lane, then JavaScript,
# so that the closing lines of Node's test runner come last.
test: ## everything
	@$(SUB) setup
	@$(SUB) checks
	@$(SUB) $(JOBS) -k -Otarget test-programs fuzz-programs $(B)/tsan/two_databases all js
	@$(SUB) $(JOBS) -k -Otarget $(LANE_TESTS)
	@$(if $(FILTER),,$(SUB) crash-states)
	@$(if $(FILTER),,$(SUB) test-remote)
	@$(SUB) test-all-js

# --- Checks -----------------------------------------------------------------

.PHONY: check-includes check-globals check-amalgamation check-abi check-mutants
checks: check-abi check-includes check-mutants check-globals check-amalgamation ## the five checks below

check-includes: ## no include points up (core/LEVELS)
	@tests/lib/check-includes.sh

check-mutants: ## each edit of tests/mutants.sh still finds its place
	@tests/mutants.sh --places

# Constant tables with pointers in them (.data.rel.ro) are fine.
check-globals: $(B)/libnacre.a ## the library has no variable that outlives its database
	@found=$$(objdump -t $< | awk '/file format/ {file = $$1} \
	    $$0 ~ /[ \t](\.(data|bss|tdata|tbss)[^ \t]*|\*COM\*)\t/ && $$0 !~ /\.data\.rel\.ro/ && \
	    $$0 !~ / d  / {print file $$NF}'); \
	if [ -n "$$found" ]; then echo "check-globals: mutable globals:"; echo "$$found"; exit 1; fi; \
	echo "check-globals: none"

check-amalgamation: $(B)/amalgamation/nacre.c ## the amalgamation compiles by itself
	@$(CLANG) -std=c11 -Wall -Wextra -Wconversion -Wshadow -Werror -ffp-contract=off -O1 -c $< -o $(B)/amalgamation/nacre.o
	@echo "check-amalgamation: compiles"

check-abi: | setup-npm ## js/abi.gen.ts is what wasm/abi-gen.mjs makes of wasm/abi.h
	@$(if $(wildcard wasm/abi-gen.mjs),mkdir -p $(B)/gen && \
	    $(NODE) wasm/abi-gen.mjs $(ABI_HEADERS) > $(B)/gen/abi.gen.ts && \
	    { cmp -s $(B)/gen/abi.gen.ts js/abi.gen.ts || \
	      { echo "check-abi: js/abi.gen.ts is out of date: run make js and commit it"; exit 1; }; } && \
	    echo "check-abi: up to date",echo "check-abi: no wasm/abi-gen.mjs yet")

# ----------------------------------------------------------------------------

clean: ## removes build, but for what was installed there
	@find $(B) -mindepth 1 -maxdepth 1 ! -name venv ! -name lz4 ! -name monocypher -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "%-20s %s\n", $$1, $$2}' Makefile
