// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Appraisal} from "./tee/IAttestation.sol";
import {ITeeVerifier, SessionKey} from "./tee/ITeeVerifier.sol";

/// @title Test only: an adapter that accepts everything, and calls back while it is asked
contract ReentrantAttestation {
    ITeeVerifier public target;
    bool public reenters;

    function aim(ITeeVerifier verifier, bool reenter) external {
        target = verifier;
        reenters = reenter;
    }

    function isSimulated() external pure returns (bool) {
        return true;
    }

    function kind() external pure returns (string memory) {
        return "tee.sgx";
    }

    /// The evidence is the appraisal's own encoding, then what to call back with.
    function appraise(bytes calldata evidence) external returns (Appraisal memory found) {
        bytes memory again;
        (found, again) = abi.decode(evidence, (Appraisal, bytes));
        if (!reenters) return found;
        (bool success, bytes memory reason) = address(target).call(again);
        if (!success) {
            assembly {
                revert(add(reason, 0x20), mload(reason))
            }
        }
    }

    function expected(bytes32 digest, bytes calldata publicKey, bytes32, bytes calldata)
        external
        pure
        returns (bytes memory)
    {
        return bytes.concat(digest, publicKey.length == 0 ? bytes32(0) : sha256(publicKey));
    }
}
