// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BN254} from "./BN254.sol";
import {IRouter} from "./IRouter.sol";
import {ITrustAnchor} from "./ITrustAnchor.sol";
import {IVerifier} from "./IVerifier.sol";
import {Openings} from "./Openings.sol";
import {Completeness, Statement, isPossible} from "./Types.sol";

/// @title Groth16 over BN254 (Groth, EUROCRYPT 2016) for every circuit program
/// @notice Holds verifying keys by programId and builds all public signals itself
/// (docs/reference/encodings.md §4). Registration is open to all: a programId commits to its key.
contract Groth16Verifier is IVerifier, ITrustAnchor {
    /// @notice Proof kind that this adapter serves.
    string public constant KIND = "zkp.groth16";
    /// @notice Exact length of a proof, bytes.
    uint256 public constant PROOF_LENGTH = 544;
    /// @notice Most 32-byte words a public output may have.
    uint256 public constant MAX_OUTPUT_WORDS = 16;
    /// Signals besides the output words: readingsRoot, digest (2), projectId, deviceSetRoot, window (2), count.
    uint256 private constant FIXED_SIGNALS = 8;
    /// Words of the completeness, the last of every public output.
    uint256 private constant COMPLETENESS_WORDS = 4;
    /// Bytes before the ic points: 14 words of points, the offset of ic, the length of ic.
    uint256 private constant KEY_HEAD = 512;
    /// Offset of ic in the key's ABI encoding.
    uint256 private constant IC_OFFSET = 480;

    /// @notice A verifying key was registered.
    event KeyRegistered(bytes32 indexed programId, uint256 outputWords, address pointer);

    /// @notice The key is not the canonical ABI encoding, or has too few or too many ic points.
    error MalformedKey();
    /// @notice The key's ic point `index` (or, from 1000, alpha, beta, gamma, delta) is infinity, off the curve, out
    /// of the subgroup, or not below the field's modulus.
    error InvalidKeyPoint(uint256 index);
    /// @notice gamma equals delta up to sign: the second set-up phase was left out, and anyone could forge proofs.
    error DegenerateKey();
    /// @notice No key is registered for the program.
    error UnknownProgram(bytes32 programId);
    /// @notice The proof is not PROOF_LENGTH bytes.
    error ProofLength(uint256 length);
    /// @notice The public output does not have as many words as the program.
    error OutputLength(uint256 expected, uint256 given);
    /// @notice A signal is out of its range; `signal` counts as in encodings.md §4.
    error SignalOutOfRange(uint256 signal, uint256 value);
    /// @notice A point of the proof is infinity, off the curve, out of the subgroup, or not below the field's modulus.
    error InvalidProofPoint();

    /// @notice The Router whose digest proofs are bound to, and the only caller of `verify`.
    IRouter public immutable ROUTER;

    /// Each key is the code of a contract of its own: reading it costs a tenth of reading storage.
    mapping(bytes32 programId => address pointer) private _pointers;

    /// @param router The Router that calls, whose domain the Statement digest has.
    constructor(IRouter router) {
        ROUTER = router;
    }

    /// @notice Registers a verifying key. Anyone may call; a repeat changes nothing.
    /// @param key Canonical ABI encoding of encodings.md §4.
    /// @return programId keccak256(abi.encode("zkp.groth16", keccak256(key))).
    function register(bytes calldata key) external returns (bytes32 programId) {
        programId = keccak256(abi.encode(KIND, keccak256(key)));
        if (_pointers[programId] != address(0)) return programId;
        uint256 points = _checkShape(key);
        _checkPoints(key, points);
        address pointer = _store(key);
        _pointers[programId] = pointer;
        emit KeyRegistered(programId, points - 1 - FIXED_SIGNALS, pointer);
    }

    /// @notice The registered key of a program, ABI-encoded; empty when there is none.
    function verifyingKey(bytes32 programId) external view returns (bytes memory) {
        return _load(_pointers[programId]);
    }

    /// @inheritdoc ITrustAnchor
    function isSimulated() external pure returns (bool) {
        return false;
    }

    /// @inheritdoc IVerifier
    function verify(Statement calldata s, bytes calldata publicOutput, bytes calldata proof)
        external
        view
        returns (bool)
    {
        if (msg.sender != address(ROUTER)) revert NotRouter(msg.sender);
        address pointer = _pointers[s.programId];
        if (pointer == address(0)) revert UnknownProgram(s.programId);
        bytes memory key = _load(pointer);
        uint256 words = (key.length - KEY_HEAD) / 64 - 1 - FIXED_SIGNALS;
        if (publicOutput.length != words * 32) revert OutputLength(words * 32, publicOutput.length);
        if (proof.length != PROOF_LENGTH) revert ProofLength(proof.length);
        uint256[] memory signals = _signals(s, publicOutput, proof, words);
        if (keccak256(proof[256:544]) != s.inputs) return false;
        return _pairing(key, proof, BN254.combine(key, KEY_HEAD, signals));
    }

    /// The public signals, in the order of encodings.md §4.
    function _signals(Statement calldata s, bytes calldata publicOutput, bytes calldata proof, uint256 words)
        private
        view
        returns (uint256[] memory signals)
    {
        signals = new uint256[](words + FIXED_SIGNALS);
        signals[0] = _below(0, _word(proof, 8), BN254.R);
        for (uint256 i = 0; i < words; ++i) {
            signals[i + 1] = _outputSignal(i + 1, _word(publicOutput, i));
        }
        bytes32 digest = ROUTER.digest(s);
        signals[words + 1] = uint256(digest) >> 128;
        signals[words + 2] = uint256(digest) & type(uint128).max;
        signals[words + 3] = _below(words + 3, s.projectId, 1 << 64);
        signals[words + 4] = _below(words + 4, _word(proof, 9), BN254.R);
        uint256 start = _below(words + 5, _word(proof, 10), 1 << 64);
        uint256 end = _below(words + 6, _word(proof, 11), 1 << 64);
        uint256 count = _below(words + 7, _word(proof, 12), 1 << 32);
        Openings.requireWindow(start, end, count);
        (signals[words + 5], signals[words + 6], signals[words + 7]) = (start, end, count);
        _checkCompleteness(publicOutput, proof, uint32(count), uint64(end - start));
    }

    /// The last words of the public output are the opening's completeness, and so are their signals.
    function _checkCompleteness(bytes calldata publicOutput, bytes calldata proof, uint32 count, uint64 span)
        private
        pure
    {
        // Its first signal, too: the words of the public output begin at signal 1.
        uint256 first = publicOutput.length / 32 - COMPLETENESS_WORDS + 1;
        Completeness memory stated = Completeness({
            missing: uint64(_below(first, _word(proof, 13), 1 << 64)),
            duplicates: uint32(_below(first + 1, _word(proof, 14), 1 << 32)),
            late: uint32(_below(first + 2, _word(proof, 15), 1 << 32)),
            reordered: uint32(_below(first + 3, _word(proof, 16), 1 << 32))
        });
        if (!isPossible(stated, count, span)) revert Openings.ImpossibleOpening();
        Openings.requireStated(publicOutput, proof[416:544]);
    }

    /// e(-A, B) · e(alpha, beta) · e(IC, gamma) · e(C, delta) = 1.
    function _pairing(bytes memory key, bytes calldata proof, uint256[2] memory combined) private view returns (bool) {
        (uint256 ax, uint256 ay) = (_word(proof, 0), _word(proof, 1));
        if (!BN254.isG1(ax, ay) || !BN254.isG1(_word(proof, 6), _word(proof, 7))) revert InvalidProofPoint();
        // Infinity is all that the pairing's precompile accepts of b beyond what the verifier off chain does.
        if (BN254.isG2Infinity(proof[64:192])) revert InvalidProofPoint();
        bytes memory left = abi.encodePacked(ax, BN254.negate(ay), proof[64:192], BN254.slice(key, 0, 192));
        bytes memory right =
            abi.encodePacked(combined, BN254.slice(key, 192, 128), proof[192:256], BN254.slice(key, 320, 128));
        (bool valid, bool one) = BN254.pairing(bytes.concat(left, right));
        if (!valid) revert InvalidProofPoint();
        return one;
    }

    /// A word of the output as int256: w, or r - |w| when negative; |w| < 2^252 keeps the map one to one.
    function _outputSignal(uint256 index, uint256 word) private pure returns (uint256) {
        int256 signed = int256(word);
        if (signed >= int256(1 << 252) || signed <= -int256(1 << 252)) revert SignalOutOfRange(index, word);
        return signed >= 0 ? word : BN254.R - uint256(-signed);
    }

    function _below(uint256 index, uint256 value, uint256 bound) private pure returns (uint256) {
        if (value >= bound) revert SignalOutOfRange(index, value);
        return value;
    }

    function _word(bytes calldata data, uint256 index) private pure returns (uint256) {
        return uint256(bytes32(data[index * 32:index * 32 + 32]));
    }

    /// Number of ic points of a canonical key: one more than its signals.
    function _checkShape(bytes calldata key) private pure returns (uint256 points) {
        if (key.length < KEY_HEAD) revert MalformedKey();
        points = _word(key, 15);
        uint256 words = points < 1 + FIXED_SIGNALS ? 0 : points - 1 - FIXED_SIGNALS;
        if (words < COMPLETENESS_WORDS || words > MAX_OUTPUT_WORDS) revert MalformedKey();
        if (_word(key, 14) != IC_OFFSET || key.length != KEY_HEAD + 64 * points) revert MalformedKey();
    }

    /// Every point is canonical, in its group and not infinity. An ic point at infinity would leave its signal free.
    function _checkPoints(bytes calldata key, uint256 points) private view {
        if (!_isKeyG1(key, 0)) revert InvalidKeyPoint(1000);
        for (uint256 i = 0; i < points; ++i) {
            if (!_isKeyG1(key, 16 + 2 * i)) revert InvalidKeyPoint(i);
        }
        for (uint256 i = 0; i < 3; ++i) {
            if (!BN254.isG2(key[64 + 128 * i:192 + 128 * i])) revert InvalidKeyPoint(1001 + i);
        }
        if (_word(key, 6) == _word(key, 10) && _word(key, 7) == _word(key, 11)) revert DegenerateKey();
    }

    function _isKeyG1(bytes calldata key, uint256 index) private pure returns (bool) {
        return BN254.isG1(_word(key, index), _word(key, index + 1));
    }

    /// Deploys a contract whose code is STOP followed by `data`.
    function _store(bytes calldata data) private returns (address pointer) {
        // PUSH2 size DUP1 PUSH1 10 RETURNDATASIZE CODECOPY RETURNDATASIZE RETURN, then the code.
        bytes memory creation = abi.encodePacked(hex"61", uint16(data.length + 1), hex"80600a3d393df300", data);
        assembly ("memory-safe") {
            pointer := create(0, add(creation, 0x20), mload(creation))
        }
        if (pointer == address(0)) revert MalformedKey();
    }

    function _load(address pointer) private view returns (bytes memory data) {
        uint256 size = pointer.code.length;
        if (size == 0) return data;
        data = new bytes(size - 1);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 0x20), 1, sub(size, 1))
        }
    }
}
