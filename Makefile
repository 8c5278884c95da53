# partmgr: build, install and test with PGXS.
#
#	make && make install && make installcheck	as any extension
#	make PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config
#	make PARTMGR_DEBUG=1		fail points, test functions, assertions, strict warnings
#
# The targets below the include are for developers; they build in copies, so
# that the checkout stays clean and no two majors mix.

EXTENSION = partmgr
MODULE_big = partmgr
PGFILEDESC = "partmgr - keeps partitioned tables in order"
OBJS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
# install scripts and pg_regress input share sql/; the double dash tells them apart
DATA := $(sort $(wildcard sql/partmgr--*.sql))
DOCS := $(wildcard README.md)

# These need fail points or functions of src/testing_*.c, which only a debug
# build has.
DEBUG_REGRESS = key name
DEBUG_ISOLATION = maintain_races

REGRESS := $(filter-out partmgr--% $(if $(PARTMGR_DEBUG),,$(DEBUG_REGRESS)), \
	$(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql))))
ISOLATION := $(filter-out $(if $(PARTMGR_DEBUG),,$(DEBUG_ISOLATION)), \
	$(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=test/isolation

# The TAP tests' modules need IPC::Run, which a mere user may lack; make test
# insists on it.
ifneq ($(wildcard test/t/*.pl),)
TAP_TESTS := $(shell perl -MIPC::Run -e 'print 1' 2>/dev/null)
endif
PROVE_TESTS = test/t/*.pl
override PROVE_FLAGS += -I $(CURDIR)/test/perl

WARNINGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Werror
ifneq ($(PARTMGR_DEBUG),)
PG_CPPFLAGS += -DPARTMGR_DEBUG -DUSE_ASSERT_CHECKING
endif
ifneq ($(PARTMGR_DEBUG)$(PARTMGR_STRICT),)
PG_CFLAGS += $(WARNINGS)
endif

EXTRA_CLEAN = test/isolation/output_iso test/isolation/results \
	test/isolation/regression.diffs test/isolation/regression.out tmp_check

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS follows no #include: an object depends on all of our headers
$(OBJS): $(wildcard src/*.h)
ifeq ($(with_llvm), yes)
$(patsubst %.o,%.bc,$(OBJS)): $(wildcard src/*.h)
endif

.PHONY: test test-long test-crash test-assert test-valgrind bench check-source check-symbols check-partman demo

# make test				everything, on every major that can be had here
# make test T=retention	one test (of any kind), on 15
# make test MAJORS="15 18"
test:
	test/install.sh test
	$(if $(T),test/run.sh --major $(firstword $(MAJORS) 15) $(T),test/majors.sh $(MAJORS))

# Crashes at every step, others in between, a full disk, a promotion: minutes,
# not seconds.
#
# make test-crash				test/long, on 15 and 18
# make test-crash MAJORS=17 T=100
test-crash test-long:
	test/install.sh test
	failed=0; for major in $(or $(MAJORS),15 18); do \
		test/run.sh --major $$major --long $(T) || [ $$? = 3 ] || failed=1; \
	done; exit $$failed

# make test-assert			everything, on a server built with assertions (18; the
#							first time this takes some minutes more)
# make test-assert MAJORS=15 T=retention
# make test-valgrind		pg_regress on that server under valgrind
# make test-valgrind T=010	any test, there
test-assert test-valgrind:
	test/install.sh assert
	test/run.sh $(if $(MAJORS),--major $(firstword $(MAJORS))) --$(@:test-%=%) $(T)

# needs no server and no compiler: layers, metadata, expected files ("make
# check" belongs to PGXS)
check-source:
	test/check.sh

# what the library exports must not meet another extension's names
check-symbols: $(shlib)
	test/check.sh --symbols $(shlib)

# make check-partman				pg_partman's own tests, fetched for the run, on 15
# make check-partman MAJORS="15 17"
# make check-partman T=test-id-10	files by the beginning of their names
check-partman:
	test/install.sh test
	MAJORS="$(or $(MAJORS),15)" test/partman.sh $(T)

# make bench			figures against hand-written SQL, some minutes
# make bench CASE=idle	one of them, or several: see test/bench/run.sh
bench:
	test/install.sh bench
	test/bench/run.sh $(CASE)

# make demo DEMO_KEEP=0	the same, and the server is stopped at the end
demo:
	test/demo.sh $(if $(filter 0,$(DEMO_KEEP)),--stop)
