import { createHighsSolver } from '@nearfar/coordinator/highs';
import { solverContract } from '../../contract/solver.ts';

solverContract('HiGHS in a thread', () => createHighsSolver());
